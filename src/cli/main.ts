#!/usr/bin/env node
import { cli } from './cli.js';
import { nodeIo } from './node_io.js';

process.exitCode = await cli(process.argv.slice(2), nodeIo);
