import type { AddCommand } from '../command.js';
import { addBench } from './bench.js';
import { addConformance } from './conformance.js';
import { addDisasm } from './disasm.js';
import { addDoctor } from './doctor.js';
import { addInspect } from './inspect.js';
import { addQdiscCommand } from './qdisc.js';
import { addRun } from './run.js';
import { addSim } from './sim.js';
import { addStructOps } from './struct_ops.js';
import { addTcpCommand } from './tcp.js';

export const COMMANDS: readonly AddCommand[] = [
  addInspect,
  addDisasm,
  addDoctor,
  addRun,
  addStructOps,
  addBench,
  addConformance,
  addSim,
  addTcpCommand,
  addQdiscCommand,
];
