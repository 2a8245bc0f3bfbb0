import type { Kernel } from '../kernel.js';

/** All clocks of the kernel start at boot and stand still together; wall-clock offsets are not modelled. */
export function registerTimeHelpers(kernel: Kernel): void {
  const { clock } = kernel;
  for (const name of ['ktime_get_ns', 'ktime_get_boot_ns', 'ktime_get_coarse_ns']) {
    kernel.registerHelper(name, (call) => call.ret(clock.now));
  }
  // jiffies start 5 minutes before they wrap in 32 bits (kernel: INITIAL_JIFFIES).
  const hz = Number(kernel.profile.behaviours.config.CONFIG_HZ ?? 250);
  const initial = 2 ** 32 - 300 * hz;
  kernel.registerHelper('jiffies64', (call) => call.ret(initial + Math.floor(clock.now / (1e9 / hz))));
}
