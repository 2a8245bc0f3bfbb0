import { InputError } from '../../errors.js';
import type { StructOpsDef } from '../types.js';

/** The result of a subsystem's callback. Plain JavaScript may forget it, which must not pass for success or failure. */
export function answered(def: StructOpsDef, callback: keyof StructOpsDef, result: number): number {
  if (Number.isInteger(result)) return result;
  throw new InputError(`struct_ops "${def.name}": ${callback} answered ${result}, which is neither 0 nor -errno`);
}
