import type { AddCommand } from '../command.js';
import { addDisasm } from './disasm.js';
import { addInspect } from './inspect.js';

export const COMMANDS: readonly AddCommand[] = [addInspect, addDisasm];
