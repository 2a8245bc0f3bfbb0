#!/usr/bin/env node
import module from 'node:module';

// Node 22 keeps what V8 made of the bundle for the next run; Node 20 compiles it every time.
(module as { enableCompileCache?: () => unknown }).enableCompileCache?.();

const [{ cli }, { nodeIo }] = await Promise.all([import('./cli.js'), import('./node_io.js')]);
process.exitCode = await cli(process.argv.slice(2), nodeIo);
