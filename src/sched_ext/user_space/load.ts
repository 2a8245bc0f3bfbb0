import { checkArgument } from '../../argument.js';
import type { KernelDoor } from '../../loader/door.js';
import type { BpfObject } from '../../loader/index.js';
import { associateProgs, prepareCommon, type ScxHost } from './common.js';
import { schedulerProfile } from './known.js';
import { type SchedulerProfile, UserHalf } from './scheduler.js';

/**
 * Between open and load: fills in what the object expects of user space, the common part first, then that of a scheduler that is
 * known. Returns warnings and what was set. No scheduler: does nothing.
 *
 * @param profile whose user space; default that of schedulerProfile. null: the common part only
 */
export function beforeScxLoad(
  object: BpfObject,
  host: ScxHost,
  profile: SchedulerProfile | null = schedulerProfile(object),
): string[] {
  checkArgument('beforeScxLoad: object', object, 'object');
  const messages = prepareCommon(object, host);
  if (!profile) return messages;
  const half = new UserHalf(object, host);
  profile.beforeLoad?.(half);
  if (half.done.length > 0) messages.push(`as ${profile.name} does: ${half.done.join(', ')}`);
  return messages;
}

/** After load: the rest of it. */
export function afterScxLoad(
  object: BpfObject,
  kernel: KernelDoor,
  profile: SchedulerProfile | null = schedulerProfile(object),
): void {
  checkArgument('afterScxLoad: object', object, 'object');
  associateProgs(object, kernel);
  profile?.afterLoad?.(object, kernel);
}
