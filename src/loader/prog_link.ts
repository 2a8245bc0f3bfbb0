import { ERRNO, ErrnoError } from '../errno.js';
import { UnsupportedError, VmtableError, within } from '../errors.js';
import { BPF_ATTACH_TYPE, BPF_PROG_TYPE } from '../uapi.js';
import { bpf, type KernelDoor } from './door.js';
import type { BpfProgram } from './program.js';

// Attaching programs that are no struct_ops members (libbpf: bpf_program__attach and the attach functions of section_defs).

/** What keeps a program attached. */
export class ProgLink {
  #fd: number;

  constructor(
    private readonly kernel: KernelDoor,
    readonly program: BpfProgram,
    fd: number,
    /** The tracepoint or function. */
    readonly target: string,
  ) {
    this.#fd = fd;
  }

  /** fd of the kernel's link. Throws ErrnoError(EBADF) once it is destroyed. */
  get fd(): number {
    if (this.#fd < 0) throw new ErrnoError(ERRNO.EBADF, `link of program "${this.program.name}"`);
    return this.#fd;
  }

  /** Detaches the program. Doing it again is no error. */
  destroy(): void {
    if (this.#fd >= 0) this.kernel.close(this.#fd);
    this.#fd = -1;
  }
}

/** Types that libbpf attaches by their section alone, and that nothing here calls. */
const NEVER_RAISED: ReadonlySet<number> = new Set([
  BPF_PROG_TYPE.KPROBE,
  BPF_PROG_TYPE.TRACEPOINT,
  BPF_PROG_TYPE.LSM,
  BPF_PROG_TYPE.EXT,
]);

/** Tracepoint of a raw_tp program: the text after `/` in its section; undefined for one that names none. */
function rawTracepoint(program: BpfProgram): string | undefined {
  return program.attachTarget === '' ? undefined : program.attachTarget;
}

/** True if libbpf's skeletons attach such a program without being told where to. */
export function isAutoAttached(program: BpfProgram): boolean {
  switch (program.type) {
    case BPF_PROG_TYPE.TRACING:
      return true;
    case BPF_PROG_TYPE.RAW_TRACEPOINT:
    case BPF_PROG_TYPE.RAW_TRACEPOINT_WRITABLE:
      return rawTracepoint(program) !== undefined;
    default:
      return NEVER_RAISED.has(program.type) && program.attachTarget !== '';
  }
}

/** Throws ErrnoError as the kernel answers, UnsupportedError for programs that nothing here calls. */
export function attachProgram(program: BpfProgram, kernel: KernelDoor, cookie = 0n): ProgLink {
  return within(`program "${program.name}"`, () => {
    const attr = { prog_fd: program.fd, cookie };
    switch (program.type) {
      case BPF_PROG_TYPE.TRACING: {
        const iterator = program.expectedAttachType === BPF_ATTACH_TYPE.TRACE_ITER;
        const fd = iterator
          ? bpf(kernel, 'LINK_CREATE', { ...attr, attach_type: program.expectedAttachType }, 'failed to attach')
          : bpf(kernel, 'RAW_TRACEPOINT_OPEN', attr, 'failed to attach');
        return new ProgLink(kernel, program, fd, program.attachTarget);
      }
      case BPF_PROG_TYPE.RAW_TRACEPOINT:
      case BPF_PROG_TYPE.RAW_TRACEPOINT_WRITABLE: {
        const name = rawTracepoint(program);
        if (name === undefined) throw new ErrnoError(ERRNO.EINVAL, 'names no tracepoint');
        const fd = bpf(kernel, 'RAW_TRACEPOINT_OPEN', { ...attr, name }, `failed to open raw tracepoint '${name}'`);
        return new ProgLink(kernel, program, fd, name);
      }
      default:
        throw new UnsupportedError(`SEC("${program.spec.type}"): nothing here calls such programs`);
    }
  });
}

/**
 * Attaches every loaded program that a skeleton would, but those already in `links`. What cannot be attached is left alone,
 * and so is what is attached but will not be called: `say` gets a line for each.
 */
export function autoAttach(
  programs: readonly BpfProgram[],
  kernel: KernelDoor,
  links: ProgLink[],
  say: (text: string) => void,
): void {
  for (const program of programs) {
    const known = links.some((link) => link.program === program);
    if (!program.loaded || !program.autoattach || known || !isAutoAttached(program)) continue;
    try {
      const link = attachProgram(program, kernel);
      links.push(link);
      const read = program.expectedAttachType === BPF_ATTACH_TYPE.TRACE_ITER;
      if (!read && program.attachProgFd === 0 && kernel.tracing && !kernel.tracing.raises(link.target)) {
        say(`program "${program.name}" is attached to ${link.target}, which nothing here raises: it will not run`);
      }
    } catch (error) {
      if (!(error instanceof VmtableError)) throw error;
      say(`${error.message}; the program is left alone`);
    }
  }
}
