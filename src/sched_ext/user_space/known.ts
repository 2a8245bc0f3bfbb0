import { checkArgument } from '../../argument.js';
import { InputError } from '../../errors.js';
import type { BpfObject } from '../../loader/index.js';
import { isScheduler } from './common.js';
import type { SchedulerProfile } from './scheduler.js';
import { scxCentral } from './scx_central.js';
import { scxCpu0 } from './scx_cpu0.js';
import { scxFlatcg } from './scx_flatcg.js';
import { scxPair } from './scx_pair.js';
import { scxQmap } from './scx_qmap.js';
import { scxSdt } from './scx_sdt.js';
import { scxSimple } from './scx_simple.js';
import { scxUserland } from './scx_userland.js';

/** The schedulers whose user-space half comes with the package. */
export const KNOWN_SCHEDULERS: readonly SchedulerProfile[] = [
  scxSimple,
  scxQmap,
  scxCentral,
  scxFlatcg,
  scxCpu0,
  scxPair,
  scxSdt,
  scxUserland,
];

/** The profile of an open object's scheduler, by the name of its ops and by what it has; null for one that nobody knows. */
export function schedulerProfile(object: BpfObject): SchedulerProfile | null {
  checkArgument('schedulerProfile: object', object, 'object');
  const names = new Set(object.structOps.filter(isScheduler).map(opsName));
  if (names.size === 0) return null;
  const has = new Set([...object.maps.map(({ name }) => name), ...object.variables.map(({ name }) => name)]);
  return KNOWN_SCHEDULERS.find((known) => names.has(known.ops) && known.has.every((name) => has.has(name))) ?? null;
}

/** `auto`: what schedulerProfile finds; `none`: none; else the profile of that name. Throws InputError for another name. */
export function chooseProfile(object: BpfObject, choice: string): SchedulerProfile | null {
  if (choice === 'none') return null;
  if (choice === 'auto') return schedulerProfile(object);
  const found = KNOWN_SCHEDULERS.find(({ name }) => name === choice);
  if (!found) {
    const names = KNOWN_SCHEDULERS.map(({ name }) => name).join(', ');
    throw new InputError(`no user space "${choice}" (there are: auto, none, ${names})`);
  }
  return found;
}

function opsName(map: { get(path: string): unknown }): string {
  return String(map.get('name'));
}
