import type { JsonNode } from '../json_node.js';
import type { RtAppEvent } from './spec.js';

/** rt-app keeps numbers in an int. */
export const MAX_INT = 2 ** 31 - 1;

type Reader = (value: JsonNode, task: string) => RtAppEvent;

const us = (type: 'run' | 'runtime' | 'sleep'): Reader => {
  return (value) => ({ place: value.place, type, us: value.whole(0, MAX_INT) });
};
const bytes = (type: 'mem' | 'iorun'): Reader => {
  return (value) => ({ place: value.place, type, bytes: value.whole(0, MAX_INT) });
};
const named = (type: 'lock' | 'unlock' | 'signal' | 'broad' | 'barrier' | 'resume' | 'fork'): Reader => {
  return (value) => {
    const ref = value.text();
    if (ref === '') value.fail('names nothing');
    return { place: value.place, type, ref };
  };
};
const conditional = (type: 'wait' | 'sync'): Reader => {
  return (value) => {
    const members = value.record(['ref', 'mutex']);
    const ref = members.get('ref')?.text() ?? value.fail('wants ref');
    const mutex = members.get('mutex')?.text() ?? value.fail('wants mutex');
    return { place: value.place, type, ref, mutex };
  };
};

/** By the word that a key begins with, tried in this order: `runtime` before `run`. */
const EVENTS: Readonly<Record<string, Reader>> = {
  lock: named('lock'),
  unlock: named('unlock'),
  wait: conditional('wait'),
  signal: named('signal'),
  broadcast: named('broad'),
  broad: named('broad'),
  sync: conditional('sync'),
  sleep: us('sleep'),
  runtime: us('runtime'),
  run: us('run'),
  timer: (value) => {
    const members = value.record(['ref', 'period', 'mode']);
    const ref = members.get('ref')?.text() ?? value.fail('wants ref');
    const period = members.get('period')?.whole(0, MAX_INT) ?? value.fail('wants period');
    const absolute = members.get('mode')?.oneOf(['relative', 'absolute']) === 'absolute';
    return { place: value.place, type: 'timer', ref, us: period, absolute };
  },
  // An empty name is the task's own.
  suspend: (value, task) => ({ place: value.place, type: 'suspend', ref: value.text() || task }),
  resume: named('resume'),
  mem: bytes('mem'),
  iorun: bytes('iorun'),
  yield: (value) => {
    value.text();
    return { place: value.place, type: 'yield' };
  },
  barrier: named('barrier'),
  fork: named('fork'),
};

const KEY = new RegExp(`^(${Object.keys(EVENTS).join('|')})(?:[^A-Za-z].*)?$`, 's');

/**
 * The reader of an event's key, undefined for other keys. rt-app goes by the beginning of a key alone; here what follows the
 * event's name must not be a letter (`run0`, `run_b`), so that a key that is misspelt is found.
 */
export function eventReader(key: string): Reader | undefined {
  const name = KEY.exec(key)?.[1];
  return name === undefined ? undefined : EVENTS[name];
}

export const EVENT_NAMES: readonly string[] = Object.keys(EVENTS);
