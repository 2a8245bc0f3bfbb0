import { Btf } from '../btf/btf.js';
import { BTF_KIND, type BtfView } from '../btf/types.js';
import { ERRNO } from '../errno.js';
import { InputError } from '../errors.js';
import type { Kernel } from './kernel.js';
import { mayHaveSpecialFields, RecordError, type SpecialField, structRecords } from './map/record.js';
import { RefCount } from './refcount.js';
import type { StructOpsDesc } from './struct_ops/desc.js';
import type { LogBuffer } from './types.js';

/** Largest blob that BTF_LOAD takes (kernel: BTF_MAX_SIZE). */
const BTF_MAX_SIZE = 16 << 20;

/** BTF as an object of the kernel: vmlinux's (id 1), a module's, or one that BTF_LOAD made. */
export class BtfObject {
  readonly fdKind = 'btf';
  readonly refs = new RefCount();
  id = 0;
  /** struct_ops types that were registered against this BTF (kernel: btf->struct_ops_tab). */
  readonly structOps: StructOpsDesc[] = [];
  #mayHaveSpecialFields: boolean | undefined;
  #declTags: readonly DeclTag[] | undefined;
  #structRecords: ReadonlyMap<number, readonly SpecialField[]> | undefined;

  constructor(
    readonly kernel: Kernel,
    readonly view: BtfView,
    /** `vmlinux`, the module's name, or empty for user BTF. */
    readonly name: string,
    /** BTF of the kernel or of a module. */
    readonly isKernel: boolean,
  ) {}

  /** Its DECL_TAGs; looked for once. */
  get declTags(): readonly DeclTag[] {
    this.#declTags ??= findDeclTags(this.view);
    return this.#declTags;
  }

  /** Special fields of structs that programs allocate, by type id. Throws RecordError, though not after BTF_LOAD. */
  get structRecords(): ReadonlyMap<number, readonly SpecialField[]> {
    this.#structRecords ??= this.isKernel ? new Map() : structRecords(this);
    return this.#structRecords;
  }

  /** Whether values and objects of its types can have special fields. */
  get mayHaveSpecialFields(): boolean {
    this.#mayHaveSpecialFields ??= mayHaveSpecialFields(this.view);
    return this.#mayHaveSpecialFields;
  }

  get isModule(): boolean {
    return this.isKernel && this.name !== 'vmlinux';
  }

  /** File release. */
  release(): void {
    this.put();
  }

  put(): void {
    // The id goes at once, the memory after a grace period (btf_put, btf_free_rcu); nothing of it lies in guest memory.
    if (this.refs.dec()) this.kernel.btfs.free(this.id);
  }
}

/** `type` has the tag, or of its members or arguments the one with index `component` if that is not -1. */
export interface DeclTag {
  type: number;
  component: number;
  name: string;
}

function findDeclTags(view: BtfView): DeclTag[] {
  const tags: DeclTag[] = [];
  for (let id = 1; id < view.typeCount; id++) {
    if (view.kindOf(id) !== BTF_KIND.DECL_TAG) continue;
    const tag = view.type(id);
    if (tag.kind === BTF_KIND.DECL_TAG) tags.push({ type: tag.type, component: tag.component, name: tag.name });
  }
  return tags;
}

/** BPF_BTF_LOAD (kernel: btf_new_fd, btf_parse). */
export function btfLoad(kernel: Kernel, attr: { btf: Uint8Array; log?: LogBuffer }): number {
  if (!(attr.btf instanceof Uint8Array)) return -ERRNO.EFAULT;
  if (attr.btf.length > BTF_MAX_SIZE) return -ERRNO.E2BIG;
  let view: BtfView;
  try {
    view = Btf.parse(attr.btf.slice()).validate();
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    if (attr.log) attr.log.text += `${error.message}\n`;
    return -ERRNO.EINVAL;
  }
  const btf = new BtfObject(kernel, view, '', false);
  try {
    btf.structRecords;
  } catch (error) {
    if (!(error instanceof RecordError)) throw error;
    if (attr.log) attr.log.text += `${error.reason}\n`;
    return error.errno;
  }
  return publish(kernel, btf);
}

function publish(kernel: Kernel, btf: BtfObject): number {
  const id = kernel.btfs.alloc(btf);
  if (id < 0) return id;
  btf.id = id;
  const fd = kernel.fds.open(btf);
  if (fd < 0) btf.put();
  return fd;
}
