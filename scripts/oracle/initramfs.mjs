// An initramfs as the kernel unpacks it: a cpio archive in the "newc" format (Documentation/driver-api/early-userspace/
// buffer-format.rst), every time and owner 0, so that equal content gives equal bytes.
import { gzipSync } from 'node:zlib';

const DIRECTORY = 0o040755;
const EXECUTABLE = 0o100755;
const DATA = 0o100644;
const CHARACTER_DEVICE = 0o020600;

function entry(inode, name, mode, data = Buffer.alloc(0), device = [0, 0]) {
  const size = Buffer.byteLength(name) + 1;
  const fields = [inode, mode, 0, 0, 1, 0, data.length, 0, 0, ...device, size, 0];
  const header = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}${name}\0`;
  const pad = (length) => Buffer.alloc((4 - (length % 4)) % 4);
  return Buffer.concat([Buffer.from(header), pad(header.length), data, pad(data.length)]);
}

/** `files`: path → Buffer; `init` and what lies in bin, lib and lib64 is executable. Empty directories come as names. */
export function initramfs(directories, files) {
  const parts = [];
  const add = (...rest) => parts.push(entry(parts.length + 1, ...rest));
  for (const directory of directories) add(directory, DIRECTORY);
  // The kernel opens /dev/console for init before init can mount anything.
  add('dev/console', CHARACTER_DEVICE, undefined, [5, 1]);
  for (const [path, data] of Object.entries(files)) {
    add(path, path === 'init' || /^(?:bin|lib|lib64)\//.test(path) ? EXECUTABLE : DATA, data);
  }
  parts.push(entry(0, 'TRAILER!!!', 0));
  return gzipSync(Buffer.concat(parts), { level: 1 });
}
