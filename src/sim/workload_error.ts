import { InputError } from '../errors.js';

/** A mistake of the workload that shows only while it runs. */
export class WorkloadError extends InputError {
  override name = 'WorkloadError';
}
