import { ACCESS_RO } from '../../../assembly/abi.js';
import { ERRNO, ErrnoError } from '../../errno.js';
import { InputError, VmtableError } from '../../errors.js';
import type { GuestPtr } from '../../vm/types.js';
import type { Kernel } from '../kernel.js';
import type { TypedObject } from '../objects.js';
import { RefCount } from '../refcount.js';
import type { Field, StructType } from '../view.js';
import type { Cpumasks } from './cpumask.js';
import { CPUSET_CGRP_ID, TopCpuset } from './cpuset.js';
import { CGROUP_FIELDS, CSS_SET_FIELDS, type FieldTable, KERNFS_FIELDS, TASK_GROUP_FIELDS } from './fields.js';
import { Layout } from './layout.js';
import type { KernelTask } from './task.js';

/** cpu.max, cpu.max.burst; a quota of Infinity is none. */
export interface CpuMax {
  quotaUs: number;
  periodUs: number;
  burstUs: number;
}

/** include/linux/cgroup-defs.h */
/** Number of the cpu controller in the kernels that ship with the package (enum cgroup_subsys_id). */
const CPU_CGRP_ID = 1;
const CSS_NO_REF = 1;
const CSS_ONLINE = 2;
const CSS_DYING = 16;
const PERCPU_REF_DEAD = 2;
const NICE_0_SHARES = 1024 * 1024;

/** A cgroup of the default hierarchy with what hangs on it: directory, css_set, task_group. */
export class KernelCgroup implements TypedObject {
  /** In the order of their making; removed ones stay until the last reference to them has gone. */
  readonly children = new Set<KernelCgroup>();
  /** In the order in which they came. */
  readonly tasks = new Set<KernelTask>();
  /** The base reference, and those of programs and storages. */
  readonly refs = new RefCount();
  /** True from rmdir on. */
  dead = false;
  /** cpu.weight: 1 to 10000. */
  weight = 100;
  cpuMax: CpuMax = { quotaUs: Number.POSITIVE_INFINITY, periodUs: 100_000, burstUs: 0 };
  cpuIdle = false;
  readonly level: number;
  /** `/`, `/a/b`. */
  readonly path: string;

  constructor(
    readonly struct: StructType,
    readonly ptr: GuestPtr,
    /** Number of the directory (cgroup_id()). */
    readonly id: number,
    /** Last part of the path, empty at the root. */
    readonly dir: string,
    readonly parent: KernelCgroup | null,
    readonly kn: GuestPtr,
    readonly cssSet: GuestPtr,
    /** Grows with every cgroup. */
    readonly serial: number,
    /** Its task_group, 0 where the cpu controller is off. */
    readonly taskGroup: GuestPtr,
  ) {
    this.level = parent ? parent.level + 1 : 0;
    this.path = parent ? `${parent.parent ? parent.path : ''}/${dir}` : '/';
  }

  get name(): string {
    return `cgroup ${this.path}`;
  }

  get size(): number {
    return Math.max(this.struct.size, this.struct.field('ancestors').offset + 8 * (this.level + 1));
  }

  get liveChildren(): KernelCgroup[] {
    return [...this.children].filter((child) => !child.dead);
  }

  /** The live child of that name. */
  child(dir: string): KernelCgroup | undefined {
    for (const child of this.children) if (!child.dead && child.dir === dir) return child;
    return undefined;
  }

  /** The nearest cgroup, itself included, whose cpu controller is on: that of its tasks' sched_task_group. */
  get cpuCgroup(): KernelCgroup {
    return this.taskGroup !== 0 || !this.parent ? this : this.parent.cpuCgroup;
  }

  /** The ancestor at a level, itself at its own; undefined below. */
  ancestor(level: number): KernelCgroup | undefined {
    if (level < 0 || level > this.level) return undefined;
    let at: KernelCgroup = this;
    while (at.level > level) at = at.parent as KernelCgroup;
    return at;
  }

  /** Is it `other` or below it (cgroup_is_descendant)? */
  isWithin(other: KernelCgroup): boolean {
    return this.ancestor(other.level) === other;
  }
}

/** A cgroup_subsys_state: a cgroup's own (`self`), or that of its cpu controller. */
export interface Css {
  readonly ptr: GuestPtr;
  readonly cgroup: KernelCgroup;
  /** That of the cpu controller. */
  readonly cpu: boolean;
}

export interface CgroupOptions {
  /** Default: the next free number. */
  id?: number;
  /** Whether the cpu controller is on; default where it is on in the parent. */
  cpu?: boolean;
}

/** The default cgroup hierarchy. */
export class CgroupTree {
  readonly layout: Layout<keyof typeof CGROUP_FIELDS>;
  readonly groupLayout: Layout<keyof typeof TASK_GROUP_FIELDS>;
  readonly root: KernelCgroup;
  /** Runs when a cgroup is online. */
  readonly onCreate = new Set<(cgroup: KernelCgroup) => void>();
  /** Runs when a cgroup is removed (rmdir), before its controllers go offline. */
  readonly onRmdir = new Set<(cgroup: KernelCgroup) => void>();
  /** Runs when a cgroup goes offline, before its reference is dropped. */
  readonly onRemove = new Set<(cgroup: KernelCgroup) => void>();
  /** Runs when a task has moved. */
  readonly onMove = new Set<(task: KernelTask, from: KernelCgroup, to: KernelCgroup) => void>();
  /** Runs with a cgroup's address right before its memory is poisoned. */
  readonly onFree = new Set<(ptr: GuestPtr) => void>();
  readonly #kernfs: Layout<keyof typeof KERNFS_FIELDS>;
  readonly #cssSet: Layout<keyof typeof CSS_SET_FIELDS>;
  readonly #byPtr = new Map<GuestPtr, KernelCgroup>();
  /** By task_group, which begins with the css. */
  readonly #byGroup = new Map<GuestPtr, KernelCgroup>();
  readonly #byId = new Map<number, KernelCgroup>();
  readonly #cpuSubsys: number;
  readonly #groupScx: { weight: Field | undefined; period?: Field; quota?: Field; burst?: Field };
  #taskCgroups: Field;
  #taskGroup: Field;
  /** Undefined in a kernel without the cpuset controller. */
  readonly #topCpuset: TopCpuset | undefined;
  #lastId = 0;
  #serial = 0;

  constructor(
    private readonly kernel: Kernel,
    cpumasks: Cpumasks,
  ) {
    const { types } = kernel;
    this.#topCpuset = types.tryStruct('cpuset') && new TopCpuset(kernel, cpumasks);
    this.#cpuSubsys = Number(kernel.profile.btf.enumerator('cpu_cgrp_id') ?? BigInt(CPU_CGRP_ID));
    this.layout = new Layout(types, 'cgroup', this.#withCpu(CGROUP_FIELDS));
    this.groupLayout = new Layout(types, 'task_group', TASK_GROUP_FIELDS);
    this.#kernfs = new Layout(types, 'kernfs_node', KERNFS_FIELDS);
    this.#cssSet = new Layout(types, 'css_set', this.#withCpu(CSS_SET_FIELDS));
    const task = types.struct('task_struct');
    this.#taskCgroups = task.field('cgroups');
    this.#taskGroup = task.field('sched_task_group');
    const group = this.groupLayout;
    const period = group.tryField('scx.bw_period_us');
    this.#groupScx = {
      weight: group.tryField('scx.weight') ?? group.tryField('scx_weight'),
      ...(period ? { period, quota: group.field('scx.bw_quota_us'), burst: group.field('scx.bw_burst_us') } : {}),
    };
    this.root = this.#new(null, '', {});
  }

  get count(): number {
    return this.#byId.size;
  }

  /** The cgroup whose struct begins at this address, removed ones included until they are freed. */
  at(ptr: GuestPtr): KernelCgroup | undefined {
    return this.#byPtr.get(ptr);
  }

  /** The cgroup_subsys_state at this address. */
  css(ptr: GuestPtr): Css | undefined {
    const own = this.#byPtr.get(ptr);
    if (own) return { ptr, cgroup: own, cpu: false };
    const cgroup = this.#byGroup.get(ptr);
    return cgroup && { ptr, cgroup, cpu: true };
  }

  /** States below one, each as its hierarchy has it, in the order of their making. */
  cssChildren(css: Css): Css[] {
    const children: Css[] = [];
    for (const cgroup of css.cgroup.children) {
      const ptr = css.cpu ? cgroup.taskGroup : cgroup.ptr;
      if (ptr !== 0) children.push({ ptr, cgroup, cpu: css.cpu });
    }
    return children;
  }

  /** The state above, undefined at the root. */
  cssParent(css: Css): Css | undefined {
    const { parent } = css.cgroup;
    return parent ? { ptr: css.cpu ? parent.taskGroup : parent.ptr, cgroup: parent, cpu: css.cpu } : undefined;
  }

  /** The live cgroup with this number. */
  byId(id: number): KernelCgroup | undefined {
    return this.#byId.get(id);
  }

  /** The live cgroup at `/a/b`. */
  byPath(path: string): KernelCgroup | undefined {
    let at: KernelCgroup | undefined = this.root;
    for (const part of path.split('/')) {
      if (part === '' || !at) continue;
      at = at.child(part);
    }
    return at;
  }

  /** All live cgroups, each before its children and those in the order of their making. */
  *values(from: KernelCgroup = this.root): Generator<KernelCgroup> {
    yield from;
    for (const child of from.liveChildren) yield* this.values(child);
  }

  /** mkdir(2). Throws ErrnoError(EEXIST, ENODEV), InputError for a name that no directory has. */
  create(parent: KernelCgroup, name: string, options: CgroupOptions = {}): KernelCgroup {
    if (name === '' || name === '.' || name === '..' || /[/\n\0]/.test(name) || name.length > 255) {
      throw new InputError(`cgroup "${name}": no name of a directory`);
    }
    if (parent.dead) throw new ErrnoError(ERRNO.ENODEV, `cgroup ${parent.path}/${name}`);
    if (parent.liveChildren.some((child) => child.dir === name)) {
      throw new ErrnoError(ERRNO.EEXIST, `cgroup ${parent.path}/${name}`);
    }
    if (options.id !== undefined && this.#byId.has(options.id)) {
      throw new InputError(`cgroup ${name}: id ${options.id} is taken`);
    }
    const cgroup = this.#new(parent, name, options);
    parent.children.add(cgroup);
    for (let at: KernelCgroup | null = parent; at; at = at.parent) this.#addDescendants(at, 1);
    for (const hook of this.onCreate) hook(cgroup);
    return cgroup;
  }

  /** rmdir(2): 0, -EBUSY while there are tasks or children, -ENODEV when it is gone already. */
  remove(cgroup: KernelCgroup): number {
    if (cgroup.dead) return -ERRNO.ENODEV;
    if (!cgroup.parent || cgroup.liveChildren.length > 0 || cgroup.tasks.size > 0) return -ERRNO.EBUSY;
    cgroup.dead = true;
    this.#byId.delete(cgroup.id);
    for (let at: KernelCgroup | null = cgroup.parent; at; at = at.parent) this.#addDescendants(at, -1);
    const flags = this.layout.field('self.flags');
    flags.set(cgroup.ptr, (flags.get(cgroup.ptr) & ~CSS_ONLINE) | CSS_DYING);
    const refcnt = this.layout.field('self.refcnt.percpu_count_ptr');
    refcnt.setBig(cgroup.ptr, refcnt.big(cgroup.ptr) | BigInt(PERCPU_REF_DEAD));
    for (const hook of this.onRmdir) hook(cgroup);
    for (const hook of this.onRemove) hook(cgroup);
    this.put(cgroup);
    return 0;
  }

  /** Moves one thread. Throws ErrnoError(ENODEV) if the cgroup is gone. */
  move(task: KernelTask, to: KernelCgroup): void {
    const from = task.cgroup;
    if (to.dead) throw new ErrnoError(ERRNO.ENODEV, `cgroup ${to.path}`);
    if (from === to) return;
    from.tasks.delete(task);
    this.detach(task);
    to.tasks.add(task);
    task.cgroup = to;
    this.attach(task, to);
    for (const hook of this.onMove) hook(task, from, to);
  }

  /** cpu.weight. Throws ErrnoError(ERANGE). */
  setWeight(cgroup: KernelCgroup, weight: number): void {
    if (!(Number.isInteger(weight) && weight >= 1 && weight <= 10000)) {
      throw new ErrnoError(ERRNO.ERANGE, `cpu.weight ${weight} of cgroup ${cgroup.path}`);
    }
    cgroup.weight = weight;
    if (cgroup.taskGroup === 0) return;
    this.groupLayout.field('shares').set(cgroup.taskGroup, Math.round((weight * 1024) / 100) * 1024);
    this.#groupScx.weight?.set(cgroup.taskGroup, weight);
  }

  /** cpu.max and cpu.max.burst. */
  setCpuMax(cgroup: KernelCgroup, max: CpuMax): void {
    cgroup.cpuMax = { ...max };
    const { period, quota, burst } = this.#groupScx;
    if (cgroup.taskGroup === 0 || !period) return;
    period.set(cgroup.taskGroup, max.periodUs);
    quota?.setBig(cgroup.taskGroup, Number.isFinite(max.quotaUs) ? BigInt(max.quotaUs) : 0xffff_ffff_ffff_ffffn);
    burst?.set(cgroup.taskGroup, max.burstUs);
  }

  /** cpu.idle */
  setIdle(cgroup: KernelCgroup, idle: boolean): void {
    cgroup.cpuIdle = idle;
    if (cgroup.taskGroup !== 0) this.groupLayout.field('idle').set(cgroup.taskGroup, idle ? 1 : 0);
  }

  /** cgroup_tryget(): false once the last reference has gone. The root lives for ever. */
  tryGet(cgroup: KernelCgroup): boolean {
    return cgroup === this.root || cgroup.refs.incNotZero();
  }

  /** cgroup_put(): with the last reference the memory goes, after a grace period. */
  put(cgroup: KernelCgroup): void {
    if (cgroup === this.root) return;
    if (cgroup.refs.count === 0) throw new VmtableError(`${cgroup.name}: one reference too many was given back`);
    if (!cgroup.refs.dec()) return;
    cgroup.parent?.children.delete(cgroup);
    this.kernel.rcu.call(() => this.#free(cgroup));
  }

  /** @internal Points a task at its cgroup; idle tasks are in no cgroup's count. */
  attach(task: KernelTask, cgroup: KernelCgroup, counted = true): void {
    this.#taskCgroups.set(task.ptr, cgroup.cssSet);
    this.#taskGroup.set(task.ptr, cgroup.cpuCgroup.taskGroup);
    if (counted) this.#addTasks(cgroup, 1);
  }

  /** @internal A task has left its cgroup. */
  detach(task: KernelTask): void {
    this.#addTasks(task.cgroup, -1);
  }

  /** The table with the cpu controller where this kernel numbers it. */
  #withCpu<T extends FieldTable>(fields: T): T {
    const { [`subsys[${CPU_CGRP_ID}]`]: cpu, ...others } = fields as FieldTable;
    return { ...others, [`subsys[${this.#cpuSubsys}]`]: cpu } as unknown as T;
  }

  #addTasks(cgroup: KernelCgroup, n: number): void {
    const count = this.#cssSet.field('nr_tasks');
    count.set(cgroup.cssSet, count.get(cgroup.cssSet) + n);
  }

  #addDescendants(cgroup: KernelCgroup, n: number): void {
    const count = this.layout.field('nr_descendants');
    count.set(cgroup.ptr, count.get(cgroup.ptr) + n);
  }

  #new(parent: KernelCgroup | null, name: string, options: CgroupOptions): KernelCgroup {
    const { objects, memory } = this.kernel;
    const id = options.id ?? this.#freeId();
    const level = parent ? parent.level + 1 : 0;
    const ptr = this.layout.allocFlexible('struct cgroup', 'ancestors', level + 1, 8);
    const kn = this.#newKn(parent, name, id);
    const cssSet = this.#cssSet.alloc('struct css_set');
    const cpu = parent ? parent.taskGroup !== 0 && (options.cpu ?? true) : true;
    const taskGroup = cpu ? this.groupLayout.alloc('struct task_group') : 0;
    const serial = ++this.#serial;
    const cgroup = new KernelCgroup(this.layout.struct, ptr, id, name, parent, kn, cssSet, serial, taskGroup);
    this.#byPtr.set(ptr, cgroup);
    this.#byId.set(id, cgroup);
    if (taskGroup !== 0) this.#byGroup.set(taskGroup, cgroup);
    objects.add(cgroup);
    for (const [at, layout] of [
      [kn, this.#kernfs],
      [cssSet, this.#cssSet],
      [taskGroup, this.groupLayout],
    ] as const) {
      if (at !== 0) objects.add({ ptr: at, size: layout.struct.size, struct: layout.struct, name: cgroup.name });
    }
    const { layout } = this;
    const flags = CSS_ONLINE | (parent ? 0 : CSS_NO_REF);
    layout.field('self.cgroup').set(ptr, ptr);
    layout.field('self.parent').set(ptr, parent ? parent.ptr : 0);
    layout.field('self.flags').set(ptr, flags);
    layout.field('self.id').set(ptr, serial);
    layout.field('self.serial_nr').set(ptr, serial);
    layout.field('self.refcnt.percpu_count_ptr').setBig(ptr, memory.address(ptr));
    layout.field('level').set(ptr, level);
    layout.field('kn').set(ptr, kn);
    layout.field('dom_cgrp').set(ptr, ptr);
    const ancestors = layout.field('ancestors').offset;
    for (let at: KernelCgroup | null = cgroup; at; at = at.parent)
      memory.setPtr(ptr + ancestors + 8 * at.level, at.ptr);
    const effective = cgroup.cpuCgroup.taskGroup;
    const subsys = `subsys[${this.#cpuSubsys}]`;
    layout.struct.field(subsys).set(ptr, taskGroup);
    this.#cssSet.struct.field(subsys).set(cssSet, effective);
    if (this.#topCpuset) {
      const cpuset = `subsys[${CPUSET_CGRP_ID}]` as const;
      this.#cssSet.field(cpuset).set(cssSet, this.#topCpuset.ptr);
      if (!parent) {
        layout.field(cpuset).set(ptr, this.#topCpuset.ptr);
        this.#topCpuset.belongsTo(ptr, flags, serial);
      }
    }
    this.#cssSet.field('dfl_cgrp').set(cssSet, ptr);
    this.#cssSet.field('dom_cset').set(cssSet, cssSet);
    if (taskGroup !== 0) {
      const group = this.groupLayout;
      const above = parent ? parent.taskGroup : 0;
      group.field('css.cgroup').set(taskGroup, ptr);
      group.field('css.parent').set(taskGroup, above);
      group.field('css.flags').set(taskGroup, flags);
      group.field('css.id').set(taskGroup, serial);
      group.field('parent').set(taskGroup, above);
      group.field('shares').set(taskGroup, NICE_0_SHARES);
      this.#groupScx.weight?.set(taskGroup, cgroup.weight);
      this.setCpuMax(cgroup, cgroup.cpuMax);
    }
    return cgroup;
  }

  #newKn(parent: KernelCgroup | null, name: string, id: number): GuestPtr {
    const kn = this.#kernfs.alloc('struct kernfs_node');
    const bytes = new TextEncoder().encode(name);
    const text = this.kernel.memory.alloc(bytes.length + 1, { name: `name of cgroup ${name}`, access: ACCESS_RO });
    this.kernel.memory.bytes(text, bytes.length).set(bytes);
    this.#kernfs.field('id').set(kn, id);
    this.#kernfs.field('name').set(kn, text);
    const above = this.#kernfs.tryField('__parent') ?? this.#kernfs.field('parent');
    above.set(kn, parent ? parent.kn : 0);
    return kn;
  }

  #freeId(): number {
    do this.#lastId++;
    while (this.#byId.has(this.#lastId));
    return this.#lastId;
  }

  #free(cgroup: KernelCgroup): void {
    for (const hook of this.onFree) hook(cgroup.ptr);
    this.#byPtr.delete(cgroup.ptr);
    this.#byGroup.delete(cgroup.taskGroup);
    const { kernel } = this;
    kernel.memory.free(this.#kernfs.field('name').get(cgroup.kn));
    for (const ptr of [cgroup.ptr, cgroup.kn, cgroup.cssSet, cgroup.taskGroup]) {
      if (ptr === 0) continue;
      kernel.objects.remove(ptr);
      kernel.memory.free(ptr);
    }
  }
}
