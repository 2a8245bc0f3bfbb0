import { checkArgument, checkOptions } from '../argument.js';
import type { Btf } from '../btf/btf.js';
import type { BtfView } from '../btf/types.js';
import { ERRNO, ErrnoError } from '../errno.js';
import { InputError, located, within } from '../errors.js';
import type { Profile } from '../kernel/types.js';
import { parseObject } from '../object/parse.js';
import type { ObjectSpec } from '../object/spec.js';
import { BPF_PROG_TYPE } from '../uapi.js';
import type { BpfLink } from './attach.js';
import { type ObjectContext, requireBtf, requireLoaded } from './context.js';
import { bpf, FdSet, type KernelDoor } from './door.js';
import { loadObject, withConfig } from './load.js';
import { BpfMap } from './map.js';
import { autoAttach, type ProgLink } from './prog_link.js';
import { BpfProgram } from './program.js';
import { type Requirement, requirements } from './requirements.js';
import { dumpMaps, isDumpable, loadMaps, type Restored } from './snapshot.js';
import { StructOpsMap } from './struct_ops.js';
import { findVariable, isFunctionsOwn, makeVariable, type Variable } from './variable.js';

/** Names that an error suggests at most. */
const MOST_NAMES = 8;

export interface OpenOptions {
  /** The object's name (map names begin with it); default the spec's. */
  name?: string;
  /** BTF to relocate against instead of the kernel's; struct_ops still match against the kernel's. */
  targetBtf?: Btf;
  /** Kernel configuration (`CONFIG_HZ` → `1000`) that goes before that of the kernel's profile. */
  config?: Readonly<Record<string, string>>;
}

/**
 * Opens an ELF object (or what parseObject made of one). Nothing is loaded yet: variables, maps, programs and struct_ops values
 * may be changed until `load`. Throws InputError for a malformed object.
 */
export function openObject(source: Uint8Array | ObjectSpec, options: OpenOptions = {}): BpfObject {
  if (!(source instanceof Uint8Array) && !Array.isArray(source?.programs)) {
    throw new InputError('openObject: neither the bytes of an object, a Uint8Array, nor what parseObject made of one');
  }
  checkOptions('openObject:', options, { name: 'text', targetBtf: 'btf', config: 'options' });
  if (source instanceof Uint8Array)
    return new BpfObject(parseObject(source, { name: options.name || 'object' }), options);
  return new BpfObject(options.name ? { ...source, name: options.name } : source, options);
}

/** A BPF object in libbpf's model: open, loaded, closed. */
export class BpfObject {
  readonly name: string;
  readonly programs: readonly BpfProgram[];
  /** Every map: declared ones, global data, `extern … __kconfig` variables, struct_ops. */
  readonly maps: readonly BpfMap[];
  readonly structOps: readonly StructOpsMap[];
  /** What libbpf would have printed as information while loading. */
  readonly messages: string[] = [];
  /** Links made by attach(). */
  readonly links: BpfLink[] = [];
  /** Links of programs that attach() made. */
  readonly programLinks: ProgLink[] = [];
  readonly #context: ObjectContext;
  #fds: FdSet | undefined;

  constructor(
    readonly spec: ObjectSpec,
    private readonly options: OpenOptions = {},
  ) {
    this.name = spec.name;
    this.#context = { name: spec.name, btf: spec.btf, state: 'open', kernel: undefined };
    this.programs = spec.programs.map((program) => new BpfProgram(this.#context, program));
    const maps = spec.maps.map((map) => new BpfMap(this.#context, map));
    const program = (name: string) => this.programs.find((candidate) => candidate.name === name);
    this.structOps = spec.structOps.map((structOps) => new StructOpsMap(this.#context, structOps, program));
    this.maps = [...maps, ...this.structOps];
  }

  get state(): 'open' | 'loaded' | 'closed' {
    const { state } = this.#context;
    return state === 'loading' ? 'open' : state;
  }

  /** Throws InputError if there is none. */
  program(name: string): BpfProgram {
    return this.#named('program', this.programs, name);
  }

  /** By declared name, or section name for global data (`.rodata`). */
  map(name: string): BpfMap {
    return this.#named('map', this.maps, name);
  }

  structOpsMap(name: string): StructOpsMap {
    return this.#named('struct_ops', this.structOps, name);
  }

  #named<T extends { name: string }>(what: string, items: readonly T[], name: string): T {
    checkArgument(`${what}: name`, name, 'text');
    const found = items.find((item) => item.name === name);
    if (found) return found;
    const names = items.map((item) => item.name).join(', ');
    throw new InputError(`no ${what} "${name}" in object "${this.name}"${names ? ` (it has ${names})` : ''}`);
  }

  /** A global variable or a part of one by C path: `slice_ns`, `cfg.slice_ns`, `weights[3]`. Throws InputError. */
  variable(path: string): Variable {
    checkArgument('variable: path', path, 'text');
    const found = findVariable(this.maps, path);
    if (!found) throw new InputError(`no variable "${path}" in object "${this.name}"${this.#likeNames(path)}`);
    return makeVariable(requireBtf(this.#context, `variable "${path}"`), found.map, found.variable, found.rest);
  }

  /** Of variables whose names have a word of this one's: ` (there are slice_ns, slice_min)`. */
  #likeNames(path: string): string {
    const words = path
      .replace(/[.[].*$/, '')
      .split('_')
      .filter((word) => word.length > 2);
    const names = this.maps
      .flatMap(({ spec }) => (spec.data?.variables ?? []).map(({ name }) => name))
      .filter((name) => !isFunctionsOwn(name));
    const like = names.filter((name) => words.some((word) => name.split('_').includes(word)));
    return like.length === 0 ? '' : ` (there are ${like.slice(0, MOST_NAMES).join(', ')})`;
  }

  /** Every global variable that has a type. */
  get variables(): Variable[] {
    const { btf } = this.#context;
    if (!btf) return [];
    return this.maps.flatMap((map) =>
      (map.spec.data?.variables ?? []).flatMap((variable) =>
        variable.type === 0 ? [] : [makeVariable(btf, map, variable, '')],
      ),
    );
  }

  /** Everything the object asks of a kernel, and whether a kernel of this profile, with these modules, has it. */
  requirements(profile: Profile, modules: readonly BtfView[] = []): Requirement[] {
    return requirements(this.spec, this.configured(profile), modules);
  }

  /** @internal The profile with the configuration that the object was opened with. */
  configured(profile: Profile): Profile {
    return withConfig(profile, this.options.config);
  }

  /**
   * Loads the object: all of it or nothing. Throws ErrnoError where libbpf or the kernel refuses, UnsupportedError for what is
   * not modelled, InputError for a malformed object; the message tells the program, map or struct_ops member.
   */
  load(kernel: KernelDoor): this {
    checkArgument(`object "${this.name}": load: kernel`, kernel, 'kernel');
    if (this.#context.state !== 'open') {
      throw new ErrnoError(ERRNO.EINVAL, `object "${this.name}": load can't be attempted twice`);
    }
    const fds = new FdSet(kernel);
    this.#context.state = 'loading';
    try {
      loadObject(
        {
          spec: this.spec,
          programs: this.programs,
          maps: this.maps,
          targetBtf: this.options.targetBtf,
          config: this.options.config,
          say: (text) => this.messages.push(text),
        },
        kernel,
        fds,
      );
    } catch (error) {
      fds.unpinAll();
      this.#release(fds);
      throw located(`object "${this.name}"`, error);
    }
    this.#fds = fds;
    this.#context.kernel = kernel;
    this.#context.state = 'loaded';
    return this;
  }

  /**
   * Attaches what a skeleton would: first the programs (see `attachPrograms`), then every struct_ops map that was created and
   * whose autoattach is on, whose links it returns. If a map fails, none stays attached. All these links end with the object;
   * a link that `StructOpsMap.attach` gave is its caller's to destroy.
   */
  attach(): BpfLink[] {
    requireLoaded(this.#context, 'attach');
    this.attachPrograms();
    const links: BpfLink[] = [];
    for (const map of this.structOps) {
      if (!map.created || !map.autoattach || this.links.some((link) => link.map === map)) continue;
      try {
        links.push(map.attach());
      } catch (error) {
        for (const link of links.reverse()) link.destroy();
        throw located(`object "${this.name}"`, error);
      }
    }
    this.links.push(...links);
    return links;
  }

  /**
   * Attaches the programs whose section says where to; their links are in `programLinks`. One that nothing here would ever
   * call is no error: `messages` names it.
   */
  attachPrograms(): readonly ProgLink[] {
    const kernel = requireLoaded(this.#context, 'attach');
    autoAttach(this.programs, kernel, this.programLinks, (text) => this.messages.push(text));
    return this.programLinks;
  }

  /** The maps, global data included, as the JSON of `bpftool map dump -j`; those whose keys cannot be walked are left out. */
  snapshot(): string {
    const kernel = requireLoaded(this.#context, 'snapshot');
    return dumpMaps(kernel, this.#dumpable());
  }

  /** Stores a snapshot, of this object here or of bpftool elsewhere. Throws InputError, ErrnoError. */
  restore(json: string): Restored {
    checkArgument('restore: json', json, 'text');
    return loadMaps(requireLoaded(this.#context, 'restore'), this.#dumpable(), json);
  }

  #dumpable(): BpfMap[] {
    return this.maps.filter((map) => map.created && isDumpable(map.definition.type));
  }

  /**
   * Tells kfuncs called by `program` (a timer, syscall or tracing program) which struct_ops instance it belongs to
   * (libbpf: bpf_program__assoc_struct_ops).
   */
  associateStructOps(program: BpfProgram, map: BpfMap): void {
    checkArgument('associateStructOps: program', program, 'program');
    checkArgument('associateStructOps: map', map, 'map');
    const kernel = requireLoaded(this.#context, 'associate');
    within(`program "${program.name}"`, () => {
      const refuse = (why: string) => new ErrnoError(ERRNO.EINVAL, why);
      if (!program.loaded) throw refuse("can't associate BPF program without FD (was it loaded?)");
      if (program.type === BPF_PROG_TYPE.STRUCT_OPS) throw refuse("can't associate struct_ops program");
      if (!map.created) throw refuse(`map '${map.name}': can't associate BPF map without FD (was it created?)`);
      if (!(map instanceof StructOpsMap)) throw refuse(`map '${map.name}': can't associate non-struct_ops map`);
      const attr = { prog_fd: program.fd, map_fd: map.fd };
      bpf(kernel, 'PROG_ASSOC_STRUCT_OPS', attr, `association with struct_ops "${map.name}" failed`);
    });
  }

  /** Destroys the links that attach() made and gives every fd back. */
  close(): void {
    if (this.#context.state === 'closed') return;
    for (const link of this.links.splice(0).reverse()) link.destroy();
    for (const link of this.programLinks.splice(0).reverse()) link.destroy();
    if (this.#fds) this.#release(this.#fds);
    this.#context.state = 'closed';
    this.#context.kernel = undefined;
  }

  #release(fds: FdSet): void {
    for (const program of this.programs) program.setFd(-1);
    for (const map of this.maps) {
      map.setFd(-1);
      map.memory?.unmap();
      map.memory = undefined;
    }
    fds.closeAll();
    this.#context.state = 'closed';
  }
}
