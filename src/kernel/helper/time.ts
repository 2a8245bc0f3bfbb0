import { DIRECT_CLOCK, DIRECT_CLOCK_BOOT, DIRECT_JIFFIES } from '../../../assembly/abi.js';
import { firstJiffy, hzOf, jiffies64 } from '../jiffies.js';
import type { Kernel } from '../kernel.js';

/** All clocks of the kernel start at boot; wall-clock offsets are not modelled. */
export function registerTimeHelpers(kernel: Kernel): void {
  const { clock } = kernel;
  for (const name of ['ktime_get_ns', 'ktime_get_coarse_ns']) {
    kernel.registerHelper(name, (call) => call.ret(clock.now), { args: 0, direct: DIRECT_CLOCK });
  }
  kernel.registerHelper('ktime_get_boot_ns', (call) => call.ret(clock.now + clock.asleepNs), {
    args: 0,
    direct: DIRECT_CLOCK_BOOT,
  });
  kernel.vm.direct.setTicks(1e9 / hzOf(kernel), firstJiffy(kernel));
  kernel.registerHelper('jiffies64', (call) => call.ret(jiffies64(kernel)), { args: 0, direct: DIRECT_JIFFIES });
}
