import { checkArgument } from './argument.js';
import { VmtableError } from './errors.js';

/** Error numbers of Linux (include/uapi/asm-generic/errno*.h) that this package returns; 524 is kernel-internal and leaks. */
export const ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  ESRCH: 3,
  EINTR: 4,
  EIO: 5,
  ENXIO: 6,
  E2BIG: 7,
  EBADF: 9,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EFAULT: 14,
  EBUSY: 16,
  EEXIST: 17,
  ENODEV: 19,
  ENOTDIR: 20,
  EINVAL: 22,
  EMFILE: 24,
  ENOSPC: 28,
  ERANGE: 34,
  EDEADLK: 35,
  ENAMETOOLONG: 36,
  ENOSYS: 38,
  ELOOP: 40,
  ENOLINK: 67,
  EPROTO: 71,
  EBADMSG: 74,
  EOVERFLOW: 75,
  ENOTSOCK: 88,
  EOPNOTSUPP: 95,
  ETIMEDOUT: 110,
  ECANCELED: 125,
  EALREADY: 114,
  EINPROGRESS: 115,
  ESTALE: 116,
  ENOTSUPP: 524,
} as const;

export type ErrnoName = keyof typeof ERRNO;

const NAMES = new Map<number, ErrnoName>(Object.entries(ERRNO).map(([name, value]) => [value, name as ErrnoName]));

export function errnoName(errno: number): string {
  checkArgument('errnoName: errno', errno, 'number');
  return NAMES.get(Math.abs(errno)) ?? `errno ${Math.abs(errno)}`;
}

/** A system call answered with an errno. The friendly API throws it; `kernel.bpf` returns -errno instead. */
export class ErrnoError extends VmtableError {
  override name = 'ErrnoError';
  constructor(
    /** Positive errno. */
    readonly errno: number,
    message: string,
    options?: ErrorOptions,
  ) {
    super(`${message}: ${errnoName(errno)} (-${errno})`, options);
  }
}

/** The object is sound and asks for a type, function or member that this kernel does not have, which the message names. */
export class LackingError extends ErrnoError {
  override name = 'LackingError';
  override readonly exitCode = 3;
}
