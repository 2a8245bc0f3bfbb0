import {
  ACCESS_COUNT,
  ACCESS_RO,
  ACCESS_RW,
  ACCESS_UNMODELLED,
  CUR_LOCKS,
  FIRST_OWN_CLASS,
} from '../../assembly/abi.js';
import { checkArgument, checkOptions } from '../argument.js';
import type { BtfView } from '../btf/types.js';
import { ERRNO, ErrnoError } from '../errno.js';
import { InputError, VmtableError } from '../errors.js';
import { BPF_MAP_FLAG } from '../uapi.js';
import { prepareCore } from '../vm/core.js';
import {
  type AccessClass,
  CHECK_STRENGTHS,
  type CheckStrength,
  DEFAULT_ENGINE,
  ENGINE_NAMES,
  type EngineName,
  FAULT_POLICIES,
  type FaultPolicy,
  type GuestMemory,
  type GuestPtr,
  type HostCall,
  type HostFn,
  type HostTraits,
  type RunOptions,
  type VmFault,
  type VmProg,
} from '../vm/types.js';
import { Vm } from '../vm/vm.js';
import { BtfObject } from './btf.js';
import { ruleOf } from './call_rules.js';
import { Clock } from './clock.js';
import { ProgramFault } from './fault.js';
import { faultOf, heldFault } from './fault_of.js';
import { FdTable, MODE_READ, MODE_WRITE } from './fd.js';
import { fdInfo } from './fdinfo.js';
import { Dtors } from './field/dtors.js';
import { Fields } from './field/fields.js';
import { CgroupFile, PidFile } from './files.js';
import { HeldTable } from './held.js';
import { registerHelpers } from './helper/builtin.js';
import { HelperTable } from './helper/registry.js';
import { IdTable } from './ids.js';
import { IterFile } from './iter/file.js';
import type { SeqBuffer } from './iter/seq.js';
import { registerKfuncs } from './kfunc/builtin.js';
import { KfuncTable, type MayCall } from './kfunc/registry.js';
import { earlySections } from './kfunc/section.js';
import { Ksyms } from './ksyms.js';
import { type BpfLink, POLLIN, POLLOUT } from './link.js';
import type { BpfMap, MmapRequest } from './map/map.js';
import { MapMapping } from './map/mapping.js';
import type { CgroupTree } from './model/cgroup.js';
import type { Cpumasks } from './model/cpumask.js';
import { provideModelKsyms } from './model/ksyms.js';
import { Model } from './model/model.js';
import type { RunQueues } from './model/rq.js';
import type { KernelTask } from './model/task.js';
import type { TaskTable } from './model/tasks.js';
import { ObjectTable } from './objects.js';
import { Percpu } from './percpu.js';
import { PerfEvent } from './perf_event.js';
import { Pins } from './pin.js';
import { loadProfile } from './profile.js';
import { missedAccesses } from './prog/missed.js';
import type { BpfProg } from './prog/prog.js';
import { reportArenaViolation } from './prog/stream.js';
import { Random } from './random.js';
import { Rcu } from './rcu.js';
import { StructOps } from './struct_ops/struct_ops.js';
import { runCommand } from './syscall.js';
import { Tracing } from './trace/tracing.js';
import type { BpfSyscall, CallKind, KernelOptions, Profile, StructOpsCallable, StructOpsDef } from './types.js';
import { type StructType, Types } from './view.js';

const DEFAULT_CPUS = 4;
const PAGE_BYTES = 4096;

/** One run of a program. */
export interface ProgRun {
  r0: bigint;
  /** Executed insns, when asked for. */
  insns: number;
  fault?: ProgramFault;
}

/** How a kernel object is made in guest memory. */
export interface ObjectOptions {
  /** What faults call it: `task "worker"`. */
  name: string;
  /** Fields that exist, by path (`pid`, `scx.slice`): read-only unless `writable` names them. */
  modelled: readonly string[];
  /** Access class of fields that programs may write, by path; see Kernel.newAccessClass. */
  writable?: Readonly<Record<string, AccessClass>>;
}

/**
 * A kernel as programs and loaders see it: one VM, a clock, tables of objects, a profile. Any number can live in one process;
 * dispose gives everything back. All its state follows from what is done to it: two runs give the same.
 */
export class Kernel {
  readonly clock: Clock;
  readonly rcu = new Rcu();
  /** References, locks and sections that the running programs hold. */
  readonly held: HeldTable;
  /** What gives kernel objects back that kptrs own. */
  readonly dtors = new Dtors();
  /** Special fields in values of maps and in programs' objects: locks, timers, kptrs, lists, trees. */
  readonly fields = new Fields(this);
  readonly random: Random;
  readonly memory: GuestMemory;
  /** Views of structs in the profile's BTF. */
  readonly types: Types;
  readonly fds = new FdTable();
  readonly maps = new IdTable<BpfMap>();
  readonly progs = new IdTable<BpfProg>();
  readonly links = new IdTable<BpfLink>();
  readonly btfs = new IdTable<BtfObject>();
  readonly vmlinux: BtfObject;
  readonly helpers: HelperTable;
  readonly kfuncs: KfuncTable;
  readonly percpu: Percpu;
  readonly ksyms: Ksyms;
  readonly structOps: StructOps;
  /** Tracepoints and functions that subsystems raise, and the programs at them. */
  readonly tracing = new Tracing(this);
  readonly objects = new ObjectTable();
  readonly pins = new Pins(this);
  readonly cpus: number;
  readonly checks: CheckStrength;
  readonly engine: EngineName;
  readonly faults: FaultPolicy;
  /** CPU that programs run on; set by whoever drives them. */
  currentCpu = 0;
  /** Whoever wants runs, insns and host time of programs counted: open BPF_ENABLE_STATS fds, and further ones that add 1. */
  statsHolders = 0;
  /** Told of every call of a struct_ops op, with the host's time; see timeOps. */
  opTimer: ((op: StructOpsCallable, ns: number) => void) | null = null;
  /** Stretches of 4 GiB that mmap has given to arenas; see ArenaMap. */
  arenaStretches = 0;
  /** Lines of bpf_printk, oldest first, without their newline. */
  readonly trace: string[] = [];
  /** Files of iterators by the address of their struct seq_file, and how many were opened so far. */
  readonly seqs = new Map<GuestPtr, SeqBuffer>();
  iterSessions = 1;
  /** Called with each of them. */
  onPrintk: ((line: string) => void) | null = null;
  /** Lines of the kernel's own log (dmesg). */
  readonly log: string[] = [];
  readonly #vmProgs = new Map<number, BpfProg>();
  readonly #guestMaps = new Map<GuestPtr, BpfMap>();
  readonly #types = new Map<BtfView, Types>();
  readonly #mappings = new Set<MapMapping>();
  #nextClass = FIRST_OWN_CLASS;
  #perfEvents = 0;
  #model: Model | undefined;
  #disposed = false;

  private constructor(
    readonly profile: Profile,
    readonly vm: Vm,
    options: KernelOptions,
  ) {
    this.cpus = options.cpus ?? DEFAULT_CPUS;
    this.checks = options.checks ?? 'object';
    this.engine = options.engine ?? DEFAULT_ENGINE;
    this.faults = options.faults ?? 'kernel';
    this.random = new Random(options.seed ?? 1);
    this.memory = vm.memory;
    this.clock = new Clock(0, vm.core);
    if (profile.behaviours.arenaReports) {
      vm.onArenaViolation = (chain, address, write) => reportArenaViolation(this, chain, address, write);
    }
    this.held = new HeldTable((locks) => vm.memory.setU32At(CUR_LOCKS, locks), earlySections(this));
    this.rcu.settle = () => this.held.settle();
    this.types = this.typesOf(profile.btf);
    this.vmlinux = this.#addBtf(new BtfObject(this, profile.btf, 'vmlinux', true));
    const { wrapCall } = options;
    const addHost = (kind: CallKind) => (name: string, fn: HostFn, traits?: HostTraits) => {
      const rule = ruleOf(this, name);
      const { direct, ...others } = traits ?? {};
      // Whoever wraps calls sees each of them.
      const inCore = direct === undefined || wrapCall !== undefined ? {} : { direct };
      return vm.registerHost(name, wrapCall ? wrapCall(kind, name, fn) : fn, {
        ...others,
        ...inCore,
        ...(rule && { rule }),
      });
    };
    this.helpers = new HelperTable(profile.btf, addHost('helper'), wrapCall !== undefined);
    this.kfuncs = new KfuncTable(profile.btf, addHost('kfunc'));
    this.percpu = new Percpu(this.memory, this.cpus, vm.direct);
    this.ksyms = new Ksyms(this.memory, this.percpu);
    provideModelKsyms(this);
    this.structOps = new StructOps(this);
    registerHelpers(this);
    registerKfuncs(this);
    this.fields.register();
  }

  /** Throws InputError for an option that is none, ErrnoError(ENOMEM) if the host refuses the memory. */
  static async create(options: KernelOptions = {}): Promise<Kernel> {
    checkKernelOptions(options);
    const { profile: wanted } = options;
    prepareCore();
    const profile = wanted === undefined || typeof wanted === 'string' ? await loadProfile(wanted) : wanted;
    const vm = await Vm.create({
      ...(options.windowBytes === undefined ? {} : { windowBytes: options.windowBytes }),
      cpus: options.cpus ?? DEFAULT_CPUS,
    });
    return new Kernel(profile, vm, options);
  }

  /**
   * bpf(2). Returns an fd, 0 or -errno and fills out-attributes in place. Throws UnsupportedError for what the kernel knows
   * and this one does not, InputError for attributes of another name or type than BpfAttr's, ProgramFault when a program that
   * the call runs is stopped.
   */
  readonly bpf: BpfSyscall = (cmd, attr) =>
    this.rcu.busy(() => {
      try {
        return runCommand(this, cmd, attr);
      } catch (error) {
        // Memory that ran out, in the core or in a subsystem: the log says whose.
        if (!(error instanceof ErrnoError)) throw error;
        this.printk(`bpf(${cmd}): ${error.message}`);
        return -error.errno;
      }
    });

  /** close(2): 0 or -EBADF. */
  close(fd: number): number {
    return this.rcu.busy(() => this.fds.close(fd));
  }

  /** dup(2): another fd of the same file. */
  dup(fd: number): number {
    return this.fds.dup(fd);
  }

  /** pidfd_open(2): an fd that names a task, the key of task storages. -ESRCH if there is no such task. */
  pidfd(pid: number): number {
    if (!(Number.isInteger(pid) && pid > 0)) return -ERRNO.EINVAL;
    return this.tasks.byPid(pid) ? this.fds.open(new PidFile(this, pid)) : -ERRNO.ESRCH;
  }

  /** open(2) of a cgroup's directory: an fd that names it, the key of cgroup storages. -ENOENT if there is no such cgroup. */
  cgroupFd(id: number): number {
    const cgroup = this.cgroups.byId(id);
    if (!cgroup || !this.cgroups.tryGet(cgroup)) return -ERRNO.ENOENT;
    const fd = this.fds.open(new CgroupFile(this, cgroup));
    if (fd < 0) this.cgroups.put(cgroup);
    return fd;
  }

  /**
   * perf_event_open(2) of a software event PERF_COUNT_SW_BPF_OUTPUT on a CPU, raw samples alone, with a ring of `pages`, a
   * power of two: an fd, the value of perf event arrays. -EINVAL for anything else, -ENODEV without such a CPU.
   */
  perfEventOpen(cpu: number, pages: number): number {
    if (!(Number.isInteger(pages) && pages > 0 && pages <= 65536 && (pages & (pages - 1)) === 0)) return -ERRNO.EINVAL;
    if (!(Number.isInteger(cpu) && cpu >= 0 && cpu < this.cpus)) return -ERRNO.ENODEV;
    return this.fds.open(new PerfEvent(this, ++this.#perfEvents, cpu, pages));
  }

  /** mmap(2) of a perf event: its page of positions and its ring, shared. Throws ErrnoError(EBADF). */
  perfMmap(fd: number): Uint8Array {
    const object = this.fds.file(fd)?.object;
    if (!(object instanceof PerfEvent)) throw new ErrnoError(ERRNO.EBADF, `mmap of perf event fd ${fd}`);
    return object.memory;
  }

  /** poll(2) with no timeout: the ready events (POLLIN, POLLHUP, …) of an fd, or -EBADF. */
  poll(fd: number): number {
    const file = this.fds.file(fd);
    if (!file) return -ERRNO.EBADF;
    switch (file.object?.fdKind) {
      case 'link':
        return file.object.poll();
      case 'map':
        return file.object.poll();
      default:
        return file.object instanceof PerfEvent ? file.object.poll() : POLLIN | POLLOUT;
    }
  }

  /** Calls `ready` whenever the file behind an fd wakes those that poll it; until the returned function is called. Throws ErrnoError. */
  onReady(fd: number, ready: () => void): () => void {
    const object = this.fds.file(fd)?.object;
    if (object?.fdKind !== 'map' && !(object instanceof PerfEvent)) {
      throw new ErrnoError(object ? ERRNO.EINVAL : ERRNO.EBADF, `poll of fd ${fd}`);
    }
    return object.waiters.add(ready);
  }

  /**
   * mmap(2) of a map's values, shared: `length` bytes, default all, from `request.offset` on. Unless `request.write` says,
   * writable if the map allows: it is not frozen, its programs may write it, and user space may. The map lives until the
   * mapping is unmapped. Throws ErrnoError as mmap(2) fails.
   */
  mmap(fd: number, length?: number, request: MmapRequest = {}): MapMapping {
    const map = this.fds.map(fd);
    if (typeof map === 'number') throw new ErrnoError(-map, `mmap of fd ${fd}`);
    const refuse = (errno: number): never => {
      throw new ErrnoError(errno, `mmap of map "${map.name}"`);
    };
    const { mode } = this.fds.file(fd)!;
    const { offset = 0, write } = request;
    if ((mode & MODE_READ) === 0) refuse(ERRNO.EACCES);
    if (map.record.length > 0) refuse(ERRNO.ENOTSUPP);
    if (length !== undefined && !(length > 0)) refuse(ERRNO.EINVAL);
    if (!(offset >= 0 && offset % PAGE_BYTES === 0)) refuse(ERRNO.EINVAL);
    const readOnlyForPrograms = (map.flags & BPF_MAP_FLAG.RDONLY_PROG) !== 0;
    if (write === true && map.frozen) refuse(ERRNO.EPERM);
    if (write === true && (readOnlyForPrograms || (mode & MODE_WRITE) === 0)) refuse(ERRNO.EACCES);
    const place = map.mmap(length, request);
    if (typeof place === 'number') return refuse(-place);
    const whole = Math.ceil((place.bytes * place.count) / PAGE_BYTES) * PAGE_BYTES;
    if (offset >= whole || (length !== undefined && offset + length > whole)) refuse(ERRNO.EINVAL);
    const allowed = (mode & MODE_WRITE) !== 0 && !map.frozen && !readOnlyForPrograms && place.writable !== false;
    const writable = allowed && write !== false;
    if (writable) map.writers++;
    map.inc();
    const unmap = () => {
      this.#mappings.delete(mapping);
      if (writable) map.writers--;
      this.rcu.busy(() => map.put());
    };
    const mapping = new MapMapping(this.memory, place, writable, unmap, length, offset);
    this.#mappings.add(mapping);
    return mapping;
  }

  /** Reads a pinned path to its end: the text of a map by its BTF, or -ENOENT, -EIO (what has no text). */
  readPinned(path: string): string | number {
    return this.rcu.busy(() => this.pins.read(path));
  }

  /**
   * read(2) of an iterator's file (ITER_CREATE): at most `size` bytes, none at the end; or -errno, -EINVAL for other files.
   * Throws ProgramFault.
   */
  read(fd: number, size = 4096): Uint8Array | number {
    const file = this.fds.file(fd);
    if (!file) return -ERRNO.EBADF;
    const { object } = file;
    return object instanceof IterFile ? object.read(size) : -ERRNO.EINVAL;
  }

  /** The object's lines of /proc/self/fdinfo, or -EBADF; see fdInfo. */
  fdinfo(fd: number): string | number {
    return fdInfo(this, fd);
  }

  /** unlink(2) of a pinned path: 0 or -ENOENT. */
  unlink(path: string): number {
    return this.rcu.busy(() => this.pins.unlink(path));
  }

  /** Makes `bpf_<name>` do something. Throws VmtableError if it does already. */
  registerHelper(name: string, fn: HostFn, traits?: HostTraits): void {
    checkArgument('registerHelper: name', name, 'text');
    checkArgument(`registerHelper: fn of ${name}`, fn, 'function');
    this.helpers.register(name, fn, traits);
  }

  /**
   * Makes a kfunc do something. `mayCall` tells of a program type (BPF_PROG_TYPE) whether its programs may call it: false fails their
   * load with EACCES; default all may. Throws VmtableError if it does something already.
   */
  registerKfunc(name: string, fn: HostFn, traits?: HostTraits, mayCall?: MayCall): void {
    checkArgument('registerKfunc: name', name, 'text');
    checkArgument(`registerKfunc: fn of ${name}`, fn, 'function');
    if (mayCall !== undefined) checkArgument(`registerKfunc: mayCall of ${name}`, mayCall, 'function');
    this.kfuncs.register(name, fn, traits, mayCall);
  }

  /** Registers a subsystem's struct_ops type. Throws ErrnoError; see StructOps.register. */
  registerStructOps(def: StructOpsDef): void {
    checkArgument('registerStructOps: def', def, 'options');
    this.structOps.register(def);
  }

  /** The model of tasks, cgroups, cpumasks and run queues, made when first asked for; see Model. */
  get model(): Model {
    this.#model ??= new Model(this);
    return this.#model;
  }

  get tasks(): TaskTable {
    return this.model.tasks;
  }

  get cgroups(): CgroupTree {
    return this.model.cgroups;
  }

  get cpumasks(): Cpumasks {
    return this.model.cpumasks;
  }

  get rqs(): RunQueues {
    return this.model.rqs;
  }

  /** Task that programs run as, the address of its task_struct (0: the CPU's idle task); set by whoever drives them. */
  get currentTask(): GuestPtr {
    return this.vm.direct.current;
  }

  set currentTask(ptr: GuestPtr) {
    this.vm.direct.current = ptr;
  }

  /** The task that programs run as: that of `currentTask`, or the idle task of the current CPU. */
  get current(): KernelTask {
    return this.tasks.at(this.currentTask) ?? (this.tasks.idle[this.currentCpu] as KernelTask);
  }

  /** Adds a module's BTF, split on the profile's. Its object lives as long as the kernel. */
  addModule(name: string, btf: BtfView): BtfObject {
    return this.#addBtf(new BtfObject(this, btf, name, true));
  }

  /** @internal The module that brought this BTF, added under `name` if it is new. */
  moduleOf(btf: BtfView, name: string): BtfObject {
    if (btf === this.vmlinux.view) return this.vmlinux;
    return this.btfs.values().find((object) => object.view === btf && object.isKernel) ?? this.addModule(name, btf);
  }

  #addBtf(object: BtfObject): BtfObject {
    object.id = this.btfs.alloc(object);
    return object;
  }

  /** Struct views over a module's BTF. */
  typesOf(btf: BtfView): Types {
    let types = this.#types.get(btf);
    if (!types) {
      types = new Types(this.memory, btf);
      this.#types.set(btf, types);
    }
    return types;
  }

  /**
   * A kernel object in guest memory, zeroed, laid out by BTF. Only the modelled fields exist; any other one faults with its
   * name when a program touches it. Free it with freeObject.
   */
  newObject(struct: string | StructType, options: ObjectOptions): GuestPtr {
    if (typeof struct !== 'string') checkArgument('newObject: struct', struct, 'options');
    checkArgument('newObject: options', options, 'options');
    checkArgument('newObject: modelled', options.modelled, 'list');
    const type = typeof struct === 'string' ? this.types.struct(struct) : struct;
    const ptr = this.memory.alloc(type.size, { align: 64, access: ACCESS_UNMODELLED, name: options.name });
    for (const path of options.modelled) {
      const field = type.field(path);
      this.memory.setAccess(ptr + field.offset, field.size, options.writable?.[path] ?? ACCESS_RO);
    }
    this.objects.add({ ptr, size: type.size, struct: type, name: options.name });
    return ptr;
  }

  /** Poisons an object; its memory is used again late. */
  freeObject(ptr: GuestPtr): void {
    this.objects.remove(ptr);
    this.memory.free(ptr);
  }

  /**
   * A class of guest bytes of a subsystem's own: programs read them, and those write them whose `write_classes` has the
   * class's bit. Throws ErrnoError(ENOSPC) when all are taken.
   */
  newAccessClass(): AccessClass {
    if (this.#nextClass >= ACCESS_COUNT) throw new ErrnoError(ERRNO.ENOSPC, 'access classes');
    return this.#nextClass++;
  }

  /** Memory that every program may read and write. */
  alloc(bytes: number, name: string): GuestPtr {
    checkArgument('alloc: bytes', bytes, 'count');
    checkArgument('alloc: name', name, 'text');
    return this.memory.alloc(bytes, { access: ACCESS_RW, name });
  }

  /** The program that a helper or kfunc was called by (what KF_IMPLICIT_ARGS passes as its aux). */
  callerOf(call: HostCall): BpfProg {
    const prog = this.#vmProgs.get(call.prog.id);
    if (!prog) throw new VmtableError(`program ${call.prog.name}: unknown to this kernel`);
    return prog;
  }

  /** The map whose `struct bpf_map` lies there: what a program's map argument names. */
  mapAt(ptr: GuestPtr): BpfMap | undefined {
    return this.#guestMaps.get(ptr);
  }

  /** @internal */
  rememberMap(map: BpfMap): void {
    if (map.guest !== 0) this.#guestMaps.set(map.guest, map);
  }

  /** @internal */
  forgetMap(map: BpfMap): void {
    this.#guestMaps.delete(map.guest);
  }

  /** Runs a program to its end under the read section of its kind; r0. Throws ProgramFault. */
  runProg(prog: BpfProg, args: readonly bigint[]): bigint {
    const { r0, fault } = this.tryProg(prog, { args });
    if (fault) throw fault;
    return r0;
  }

  /** The same, on the current CPU, with what stopped the program beside its result. */
  tryProg(prog: BpfProg, options: RunOptions): ProgRun {
    checkArgument('tryProg: prog', prog, 'prog');
    checkArgument('tryProg: options', options, 'options');
    const { trampoline } = prog;
    if (trampoline === null) return this.#tryAlone(prog, options);
    let run: ProgRun = { r0: 0n, insns: 0 };
    try {
      this.tracing.aroundProg(trampoline, options.args?.[0] ?? 0n, () => {
        run = this.#tryAlone(prog, options);
        if (run.fault) throw run.fault;
        return run.r0;
      });
      return run;
    } catch (error) {
      if (!(error instanceof ProgramFault)) throw error;
      return { ...run, fault: error };
    }
  }

  #tryAlone(prog: BpfProg, options: RunOptions): ProgRun {
    if (!prog.vm) throw new VmtableError(`prog "${prog.name}": freed`);
    const vmProg = prog.vm;
    return this.rcu.read(
      () => {
        const start = this.statsHolders > 0 ? performance.now() : 0;
        const outer = this.held.begin();
        const { r0, insns, fault } = this.vm.run(vmProg, { ...options, cpu: this.currentCpu });
        const left = this.held.leave(outer);
        if (this.statsHolders > 0) {
          prog.aux.runCount++;
          prog.aux.runTimeNs += (performance.now() - start) * 1e6;
        }
        if (fault) return { r0, insns, fault: this.faultOf(fault) };
        return left === undefined ? { r0, insns } : { r0, insns, fault: heldFault(this, left) };
      },
      prog.sleepable ? 'tasksTrace' : 'rcu',
    );
  }

  /** From now on, tells of every call of a struct_ops op how long its program took the host. No insns are counted then. */
  timeOps(timer: (op: StructOpsCallable, ns: number) => void): void {
    if (this.opTimer === null) this.statsHolders++;
    this.opTimer = timer;
  }

  /** A fault of the VM in terms of this kernel's programs and objects. */
  faultOf(fault: VmFault): ProgramFault {
    return faultOf(this, fault);
  }

  /** Loads of live programs that read 0 as the kernel's exception handler makes them: `prog "x": insn 3 (f.c:7): 2 times`. */
  zeroedLoads(): string[] {
    return missedAccesses(this, 'loads');
  }

  /** Stores and atomics of live programs to arena pages that are not there, in the same form. */
  droppedStores(): string[] {
    return missedAccesses(this, 'stores');
  }

  /** The kernel's own log (pr_info and friends). */
  printk(line: string): void {
    this.log.push(line);
  }

  /** A line of bpf_printk. */
  tracePrintk(line: string): void {
    this.trace.push(line);
    this.onPrintk?.(line);
  }

  /** @internal */
  rememberVmProg(vmProg: VmProg, prog: BpfProg): void {
    this.#vmProgs.set(vmProg.id, prog);
  }

  /** @internal */
  forgetVmProg(vmProg: VmProg): void {
    this.#vmProgs.delete(vmProg.id);
  }

  /** @internal */
  progOf(vmProg: VmProg): BpfProg | undefined {
    return this.#vmProgs.get(vmProg.id);
  }

  /** True once dispose() was called: its memory is gone. */
  get disposed(): boolean {
    return this.#disposed;
  }

  /** Closes every fd and gives the core back. The kernel is of no use afterwards; calling it again does nothing. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    for (const mapping of this.#mappings) mapping.unmap();
    this.rcu.busy(() => this.pins.clear());
    for (const fd of this.fds.openFds()) this.close(fd);
    this.vm.dispose();
  }
}

/** What the types promise and plain JavaScript may not keep; profile, CPUs and window are checked where they are used. */
function checkKernelOptions(options: KernelOptions): void {
  const { profile } = options ?? {};
  checkOptions('Kernel.create:', options, {
    ...{ cpus: 'number', seed: 'number', windowBytes: 'number', wrapCall: 'function' },
    ...(typeof profile !== 'string' && { profile: 'profile' }),
    ...{ engine: 'text', checks: 'text', faults: 'text' },
  });
  oneOf('engine', options.engine, ENGINE_NAMES);
  oneOf('checks', options.checks, CHECK_STRENGTHS);
  oneOf('faults', options.faults, FAULT_POLICIES);
}

function oneOf<T extends string>(option: string, value: T | undefined, names: readonly T[]): void {
  if (value !== undefined && !names.includes(value)) {
    throw new InputError(`${option} "${value}": not one of ${names.join(', ')}`);
  }
}
