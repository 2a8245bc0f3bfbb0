import { checkArgument, checkOptions } from '../argument.js';
import { ERRNO, ErrnoError } from '../errno.js';
import type { ProgramSpec } from '../object/spec.js';
import { BPF_PROG_TYPE } from '../uapi.js';
import { type ObjectContext, requireLoaded, requireOpen } from './context.js';
import { attachProgram, type ProgLink } from './prog_link.js';

export interface TestRunOptions {
  /** Context bytes (struct xdp_md, the argument of a SYSCALL program, …). */
  ctx?: Uint8Array;
  /** Packet bytes. */
  data?: Uint8Array;
  repeat?: number;
  flags?: number;
  cpu?: number;
}

export interface TestRunResult {
  retval: number;
  ctx: Uint8Array | undefined;
  data: Uint8Array | undefined;
  /** Mean nanoseconds of host time a run. */
  duration: number;
}

const TEST_RUN = { ctx: 'bytes', data: 'bytes', repeat: 'integer', flags: 'integer', cpu: 'integer' } as const;

/** A program of an object: load switches until load, then an fd. */
export class BpfProgram {
  readonly name: string;
  /** False: load leaves it out. */
  #autoload: boolean;
  #fd = -1;
  /** What the kernel said when it loaded the program. */
  log = '';
  /** Where it attaches; struct_ops maps set it from their kernel type. */
  expectedAttachType: number;
  attachBtfId = 0;
  attachBtfFd = 0;
  #attachTarget: string;
  #attachProgFd = 0;

  constructor(
    private readonly context: ObjectContext,
    readonly spec: ProgramSpec,
  ) {
    this.name = spec.name;
    this.#autoload = spec.autoload;
    this.expectedAttachType = spec.expectedAttachType;
    this.#attachTarget = spec.attachTo;
  }

  get type(): number {
    return this.spec.progType;
  }

  get fd(): number {
    if (this.#fd < 0) throw new ErrnoError(ERRNO.EINVAL, `prog '${this.name}' has no fd (was it loaded?)`);
    return this.#fd;
  }

  get loaded(): boolean {
    return this.#fd >= 0;
  }

  /** Loader only. */
  setFd(fd: number): void {
    this.#fd = fd;
  }

  get autoload(): boolean {
    return this.#autoload;
  }

  /** Throws ErrnoError(EINVAL) once the object is loaded. struct_ops maps overrule it at load for programs they refer to. */
  set autoload(value: boolean) {
    requireOpen(this.context, `program "${this.name}"`, ERRNO.EINVAL);
    this.#autoload = value;
  }

  /** Loader only. */
  overruleAutoload(value: boolean): void {
    this.#autoload = value;
  }

  /** False: attach() of the object leaves it out. */
  autoattach = true;

  /** Attaches the program by its section or target. Throws ErrnoError as the kernel answers, UnsupportedError. */
  attach(options: { cookie?: bigint } = {}): ProgLink {
    checkOptions(`program "${this.name}": attach:`, options, { cookie: 'bigint' });
    return attachProgram(this, requireLoaded(this.context, `program "${this.name}"`), options.cookie);
  }

  /** Kernel function, tracepoint or hook that a tracing program attaches to: the text after `/` in its section, or as set. */
  get attachTarget(): string {
    return this.#attachTarget;
  }

  set attachTarget(name: string) {
    checkArgument(`program "${this.name}": attachTarget`, name, 'text');
    requireOpen(this.context, `program "${this.name}"`, ERRNO.EINVAL);
    this.#attachTarget = name;
  }

  /** Loader only: fd of the program that a tracing program runs around; 0 for one at a function of the kernel. */
  get attachProgFd(): number {
    return this.#attachProgFd;
  }

  /**
   * Makes a tracing program one of another program: a loaded one of any object in the same kernel, or its fd. It will run around
   * the function of that name there, by default the one that its section names (libbpf: bpf_program__set_attach_target).
   */
  setAttachTarget(target: BpfProgram | number, functionName = this.#attachTarget): void {
    const where = `program "${this.name}": setAttachTarget:`;
    checkArgument(`${where} target`, target, typeof target === 'number' ? 'count' : 'program');
    checkArgument(`${where} functionName`, functionName, 'text');
    requireOpen(this.context, `program "${this.name}"`, ERRNO.EINVAL);
    this.#attachProgFd = typeof target === 'number' ? target : target.fd;
    this.#attachTarget = functionName;
  }

  /** BPF_PROG_TEST_RUN. Throws ErrnoError as the kernel refuses, ProgramFault if the program is stopped. */
  testRun(options: TestRunOptions = {}): TestRunResult {
    checkOptions(`program "${this.name}": testRun:`, options, TEST_RUN);
    const kernel = requireLoaded(this.context, `program "${this.name}"`);
    const { data, repeat, flags, cpu } = options;
    // bpf_prog_test_run_syscall refuses ctx_out and stores the context back where it came from.
    const inPlace = this.type === BPF_PROG_TYPE.SYSCALL;
    const ctx = options.ctx && new Uint8Array(options.ctx);
    const attr: Parameters<typeof kernel.bpf<'PROG_TEST_RUN'>>[1] = {
      prog_fd: this.fd,
      ...(ctx && { ctx_in: ctx, ...(!inPlace && { ctx_out: new Uint8Array(ctx.length) }) }),
      ...(data && { data_in: data, data_out: new Uint8Array(data.length + 256) }),
      ...(repeat !== undefined && { repeat }),
      ...(flags !== undefined && { flags }),
      ...(cpu !== undefined && { cpu }),
    };
    const result = kernel.bpf('PROG_TEST_RUN', attr);
    if (result < 0) throw new ErrnoError(-result, `program "${this.name}": test run failed`);
    return {
      retval: attr.retval ?? 0,
      ctx: inPlace ? ctx : attr.ctx_out,
      data: attr.data_out?.subarray(0, attr.data_size_out ?? attr.data_out.length),
      duration: attr.duration ?? 0,
    };
  }
}
