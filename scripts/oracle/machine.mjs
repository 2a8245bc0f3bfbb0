// One boot of a kernel in QEMU, without acceleration, clock driven by instructions: the same image, initramfs and command
// line give the same console bytes.
import { spawn } from 'node:child_process';

const MACHINE = [
  ...['-accel', 'tcg', '-cpu', 'Nehalem', '-smp', '2', '-m', '768'],
  ...['-icount', 'shift=1,sleep=off', '-rtc', 'clock=vm,base=2020-01-01'],
  ...['-nodefaults', '-nographic', '-serial', 'stdio', '-no-reboot'],
];
const KERNEL_ARGUMENTS = 'console=ttyS0 quiet panic=-1 nokaslr';

/** Resolves with the console's text; rejects when the machine does not switch itself off in time. */
export function boot({ image, initrd, seconds = 900 }) {
  return new Promise((resolve, reject) => {
    const args = [...MACHINE, '-kernel', image, '-initrd', initrd, '-append', KERNEL_ARGUMENTS];
    const machine = spawn('qemu-system-x86_64', args, { stdio: ['ignore', 'pipe', 'inherit'] });
    const output = [];
    const timer = setTimeout(() => machine.kill('SIGKILL'), seconds * 1000);
    machine.stdout.on('data', (chunk) => output.push(chunk));
    machine.on('error', reject);
    machine.on('close', (code, signal) => {
      clearTimeout(timer);
      const text = Buffer.concat(output).toString('latin1').replaceAll('\r', '');
      if (signal !== null) reject(new Error(`the machine was still on after ${seconds} s; its console said\n${text}`));
      else if (code !== 0) reject(new Error(`qemu-system-x86_64 ended with status ${code}`));
      else resolve(text);
    });
  });
}
