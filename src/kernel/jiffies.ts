import { checkArgument } from '../argument.js';
import type { Kernel } from './kernel.js';

/** Ticks a second of this kernel (CONFIG_HZ). */
export function hzOf(kernel: Kernel): number {
  checkArgument('kernel', kernel, 'kernel');
  return Number(kernel.profile.behaviours.config.CONFIG_HZ ?? 250);
}

/** What the tick counter starts with: 5 minutes before its low 32 bits wrap (kernel: INITIAL_JIFFIES). */
export function firstJiffy(kernel: Kernel): number {
  return 2 ** 32 - 300 * hzOf(kernel);
}

/** The tick counter (kernel: get_jiffies_64). */
export function jiffies64(kernel: Kernel): number {
  return firstJiffy(kernel) + Math.floor(kernel.clock.now / (1e9 / hzOf(kernel)));
}
