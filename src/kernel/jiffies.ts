import { checkArgument } from '../argument.js';
import type { Kernel } from './kernel.js';

/** Ticks a second of this kernel (CONFIG_HZ). */
export function hzOf(kernel: Kernel): number {
  checkArgument('kernel', kernel, 'kernel');
  return Number(kernel.profile.behaviours.config.CONFIG_HZ ?? 250);
}

/** The tick counter: it starts 5 minutes before its low 32 bits wrap (kernel: INITIAL_JIFFIES, get_jiffies_64). */
export function jiffies64(kernel: Kernel): number {
  const hz = hzOf(kernel);
  return 2 ** 32 - 300 * hz + Math.floor(kernel.clock.now / (1e9 / hz));
}
