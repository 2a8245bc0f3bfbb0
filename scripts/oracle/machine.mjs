// One boot of a kernel in QEMU, without acceleration, clock driven by instructions: the same image, initramfs and command
// line give the same console bytes.
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { downloadPackages, unpackPackage } from '../debian_download.mjs';

/**
 * Machines that give the same bytes twice. With four CPUs, or a tick of 1 ms, the installed emulator (7.2) does not; the newer
 * one does.
 */
const two = { cpus: 2, smp: '2', installed: true };
const smt = { cpus: 4, smp: '4,sockets=1,cores=2,threads=2', installed: false };
/**
 * `part` names the scenarios of a boot, where a suite has more than one boot can do in its time; `defines` are macros for the
 * guest of that boot.
 */
export const MACHINES = {
  two,
  smt,
  'two-more': { ...two, part: 'more' },
  'smt-more': { ...smt, part: 'more' },
  'two-mixed': { ...two, part: 'mixed' },
  'smt-mixed': { ...smt, part: 'mixed' },
  'two-combined': { ...two, part: 'combined' },
  'smt-combined': { ...smt, part: 'combined' },
  'two-realistic': { ...two, part: 'realistic', defines: ['DEADLINE'] },
  'smt-realistic': { ...smt, part: 'realistic', defines: ['DEADLINE'] },
  'two-further': { ...two, part: 'further' },
  'smt-further': { ...smt, part: 'further' },
  'two-exits': { ...two, part: 'exits', defines: ['SYSRQ'] },
};

/** The emulator of bookworm-backports, unpacked and not installed. */
function backported(cache) {
  const dir = join(cache, 'qemu');
  const tree = join(dir, 'tree');
  const program = join(tree, 'usr/bin/qemu-system-x86_64');
  if (!existsSync(program)) {
    const packages = ['qemu-system-x86', 'qemu-system-common', 'qemu-system-data'];
    for (const deb of downloadPackages(dir, packages, 'bookworm-backports')) unpackPackage(deb, tree);
  }
  return [program, '-L', join(tree, 'usr/share/qemu'), '-L', '/usr/share/seabios'];
}

const MACHINE = [
  ...['-accel', 'tcg', '-cpu', 'Nehalem', '-m', '768'],
  ...['-icount', 'shift=1,sleep=off', '-rtc', 'clock=vm,base=2020-01-01'],
  ...['-nodefaults', '-display', 'none', '-no-reboot'],
];
const KERNEL_ARGUMENTS = 'console=ttyS0 quiet panic=-1 nokaslr';

/** Resolves with the console's text; rejects when the machine does not switch itself off in time. */
export function boot({ image, initrd, cache, machine: { smp, installed } = MACHINES.two, seconds = 1500 }) {
  return new Promise((resolve, reject) => {
    const [program, ...rest] = installed ? ['qemu-system-x86_64'] : backported(cache);
    // Into a file, which is never full: a reader that is slow would hold up the guest's serial line.
    const console = `${initrd}.console`;
    const args = [...rest, ...MACHINE, '-smp', smp, '-serial', `file:${console}`];
    args.push('-kernel', image, '-initrd', initrd, '-append', KERNEL_ARGUMENTS);
    const machine = spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit'] });
    const timer = setTimeout(() => machine.kill('SIGKILL'), seconds * 1000);
    machine.on('error', reject);
    machine.on('close', (code, signal) => {
      clearTimeout(timer);
      const text = readFileSync(console, 'latin1').replaceAll('\r', '');
      if (signal !== null) reject(new Error(`the machine was still on after ${seconds} s; its console said\n${text}`));
      else if (code !== 0) reject(new Error(`${program} ended with status ${code}`));
      else resolve(text);
    });
  });
}
