import { essentialName, typesCompatible } from '../btf/core_match.js';
import { BTF_KIND, type BtfView } from '../btf/types.js';
import { ERRNO, ErrnoError, LackingError } from '../errno.js';
import { VmtableError } from '../errors.js';
import type { Profile } from '../kernel/types.js';
import type { ExternSpec, ObjectSpec } from '../object/spec.js';
import { kconfigValue } from './kconfig.js';
import type { KernelBtf, KernelTypes } from './kernel_types.js';

/** What a kfunc or ksym of the object turned out to be in the kernel. */
export interface ResolvedKsym {
  /** Type id of the FUNC or VAR. */
  id: number;
  in: KernelBtf;
}

export interface ResolvedExterns {
  /** By name; missing weak ones are absent. */
  ksyms: Map<string, ResolvedKsym>;
  /** Values of the `.kconfig` map: bytes by offset. */
  kconfig: { offset: number; value: Uint8Array }[];
}

/** One extern that the kernel cannot satisfy; fatal unless the extern is weak. */
export interface ExternProblem {
  extern: ExternSpec;
  error: ErrnoError;
  fatal: boolean;
}

/**
 * Resolves every extern of an object (libbpf: bpf_object__resolve_externs). Does not stop at the first that is missing: the
 * problems list all of them.
 */
export function resolveExterns(
  spec: ObjectSpec,
  profile: Profile,
  types: KernelTypes,
): { resolved: ResolvedExterns; problems: ExternProblem[] } {
  const resolved: ResolvedExterns = { ksyms: new Map(), kconfig: [] };
  const problems: ExternProblem[] = [];
  const attempt = (extern: ExternSpec, body: () => boolean, missing: () => ErrnoError) => {
    try {
      if (!body()) problems.push({ extern, error: missing(), fatal: !extern.weak });
    } catch (error) {
      if (!(error instanceof ErrnoError)) throw error;
      problems.push({ extern, error, fatal: true });
    }
  };
  const { btf } = spec;
  if (!btf && spec.externs.length > 0) throw new VmtableError('externs need BTF (compile with -g)');

  for (const variable of spec.maps.find((map) => map.section === '.kconfig')?.data?.variables ?? []) {
    const extern = spec.externs.find((candidate) => candidate.name === variable.name);
    if (!btf || extern?.kind !== 'kconfig') continue;
    const strength = extern.weak ? 'weak' : 'strong';
    const unresolved = () => new LackingError(ERRNO.ESRCH, `extern '${extern.name}' (${strength}): not resolved`);
    const store = () => {
      const value = kconfigValue(btf, extern, profile);
      if (value) resolved.kconfig.push({ offset: variable.offset, value });
      return value !== undefined;
    };
    attempt(extern, store, unresolved);
  }
  for (const extern of spec.externs) {
    if (!btf || extern.kind === 'kconfig' || isTypeless(btf, extern)) continue;
    const find = extern.kind === 'kfunc' ? findKfunc : findVariable;
    const where = extern.kind === 'kfunc' ? 'func ksym' : 'var ksym';
    const missing = extern.kind === 'kfunc' ? 'not found in kernel or module BTFs' : 'not found in kernel BTF';
    // Whatever is wrong with a ksym, libbpf's load answers EINVAL.
    const notFound = () => new LackingError(ERRNO.EINVAL, `extern (${where}) '${extern.name}': ${missing}`);
    const store = () => {
      const found = find(btf, extern, types);
      if (found) resolved.ksyms.set(extern.name, found);
      return found !== undefined;
    };
    attempt(extern, store, notFound);
  }
  return { resolved, problems };
}

/** A variable declared `extern const void`: an address of kallsyms, of no BTF type. */
export function isTypeless(btf: BtfView, extern: ExternSpec): boolean {
  return extern.kind === 'ksym' && btf.resolve(extern.type) === 0;
}

/** One error that names every problem, or undefined if none is fatal. */
export function externError(problems: readonly ExternProblem[]): ErrnoError | undefined {
  const fatal = problems.filter((problem) => problem.fatal);
  const [first] = fatal;
  if (!first || fatal.length === 1) return first?.error;
  // ErrnoError puts the errno's name behind each message; once, at the end, is enough.
  const texts = fatal.map(({ error }) => error.message.replace(/: \w+ \(-\d+\)$/, ''));
  const All = fatal.every(({ error }) => error instanceof LackingError) ? LackingError : ErrnoError;
  return new All(first.error.errno, texts.join('; '));
}

/**
 * A kernel function by the extern's name without its last `___suffix`, with a compatible prototype. A weak extern of another
 * prototype counts as missing: that is how one object carries a call for each version of a kfunc.
 */
function findKfunc(btf: BtfView, extern: ExternSpec, types: KernelTypes): ResolvedKsym | undefined {
  const found = types.find(essentialName(extern.name), BTF_KIND.FUNC);
  if (!found) return undefined;
  const local = btf.type(extern.btfId);
  const kernel = found.in.btf.type(found.id);
  if (local.kind !== BTF_KIND.FUNC || kernel.kind !== BTF_KIND.FUNC) return undefined;
  if (typesCompatible(btf, local.type, found.in.btf, kernel.type)) return found;
  if (extern.weak) return undefined;
  const protos = `func_proto [${local.type}] incompatible with ${found.in.name} [${kernel.type}]`;
  throw new ErrnoError(ERRNO.EINVAL, `extern (func ksym) '${extern.name}': ${protos}`);
}

function findVariable(btf: BtfView, extern: ExternSpec, types: KernelTypes): ResolvedKsym | undefined {
  const found = types.find(extern.name, BTF_KIND.VAR);
  if (!found) return undefined;
  const kernel = found.in.btf.type(found.id);
  if (kernel.kind !== BTF_KIND.VAR) return undefined;
  const [localId, kernelId] = [btf.resolve(extern.type), found.in.btf.resolve(kernel.type)];
  if (typesCompatible(btf, localId, found.in.btf, kernelId)) return found;
  const names = `expected [${localId}] ${btf.nameOf(localId)}, but kernel has [${kernelId}] ${found.in.btf.nameOf(kernelId)}`;
  throw new ErrnoError(ERRNO.EINVAL, `extern (var ksym) '${extern.name}': incompatible types, ${names}`);
}
