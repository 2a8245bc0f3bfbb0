import { BTF_KIND, type BtfView } from '../btf/types.js';
import { ERRNO, ErrnoError } from '../errno.js';
import { InputError } from '../errors.js';
import type { Profile } from '../kernel/types.js';
import type { ExternSpec } from '../object/spec.js';

// `extern … __kconfig` variables: values of the kernel's configuration (libbpf: set_kcfg_value_*).

type KconfigType = 'bool' | 'tristate' | 'char' | 'int' | 'string';

/**
 * Value of one extern as bytes of its size, or undefined if the kernel does not set it (0 if weak, an error if not).
 * Throws ErrnoError with libbpf's text for a value that does not fit the extern's type.
 */
export function kconfigValue(btf: BtfView, extern: ExternSpec, profile: Profile): Uint8Array | undefined {
  const fail = (errno: number, why: string) => new ErrnoError(errno, `extern (kcfg) '${extern.name}': ${why}`);
  const { type, signed } = kconfigType(btf, extern);
  const { name, size } = extern;
  const bytes = new Uint8Array(size);

  const number = (value: bigint) => {
    if (type !== 'int' && type !== 'char' && type !== 'bool') {
      throw fail(ERRNO.EINVAL, `value '${value}' implies integer, char, or boolean type`);
    }
    const fits = signed ? BigInt.asIntN(size * 8, value) === value : BigInt.asUintN(size * 8, value) === value;
    if (!fits && size < 8) throw fail(ERRNO.ERANGE, `value '${value}' doesn't fit in ${size} bytes`);
    for (let i = 0, rest = BigInt.asUintN(64, value); i < size; i++, rest >>= 8n) bytes[i] = Number(rest & 0xffn);
    return bytes;
  };

  if (!name.startsWith('CONFIG_')) {
    const value = virtualValue(name, profile);
    if (value === undefined) {
      if (name.startsWith('LINUX_') && extern.weak) return undefined;
      throw fail(ERRNO.EINVAL, 'unrecognized virtual extern');
    }
    return number(value);
  }

  const { config } = profile.behaviours;
  const text = Object.hasOwn(config, name) ? config[name] : undefined;
  if (!text) return undefined;
  if (text === 'y' || text === 'm' || text === 'n') {
    if (type === 'bool') {
      if (text === 'm') throw fail(ERRNO.EINVAL, `value 'm' implies tristate or char type`);
      bytes[0] = text === 'y' ? 1 : 0;
    } else if (type === 'tristate') {
      // enum libbpf_tristate: TRI_NO, TRI_YES, TRI_MODULE.
      bytes[0] = 'nym'.indexOf(text);
    } else if (type === 'char') {
      bytes[0] = text.charCodeAt(0);
    } else {
      throw fail(ERRNO.EINVAL, `value '${text}' implies bool, tristate, or char type`);
    }
    return bytes;
  }
  if (text.startsWith('"')) {
    if (type !== 'string') throw fail(ERRNO.EINVAL, `value '${text}' implies char array type`);
    if (text.length < 2 || !text.endsWith('"')) throw fail(ERRNO.EINVAL, `invalid string config '${text}'`);
    bytes.set(new TextEncoder().encode(text.slice(1, -1)).subarray(0, size - 1));
    return bytes;
  }
  return number(parseU64(text, () => fail(ERRNO.EINVAL, `value '${text}' isn't a valid integer`)));
}

/** What libbpf fills in by itself; every profile's kernel has attach cookies and wraps system calls. */
function virtualValue(name: string, profile: Profile): bigint | undefined {
  switch (name) {
    case 'LINUX_KERNEL_VERSION':
      return BigInt(profile.version);
    case 'LINUX_HAS_BPF_COOKIE':
    case 'LINUX_HAS_SYSCALL_WRAPPER':
      return 1n;
    default:
      return undefined;
  }
}

function parseU64(text: string, error: () => Error): bigint {
  const match = /^(-?)(0x[\da-f]+|0[0-7]*|[1-9]\d*)$/i.exec(text);
  if (!match?.[2]) throw error();
  const digits = /^0[0-7]+$/.test(match[2]) ? `0o${match[2].slice(1)}` : match[2];
  return match[1] ? -BigInt(digits) : BigInt(digits);
}

/** Kind of an extern's type (libbpf: find_kcfg_type). */
function kconfigType(btf: BtfView, extern: ExternSpec): { type: KconfigType; signed: boolean } {
  const id = btf.resolve(extern.type);
  const type = id === 0 ? undefined : btf.type(id);
  switch (type?.kind) {
    case BTF_KIND.INT:
      if (type.bool) {
        if (type.size === 1) return { type: 'bool', signed: false };
        break;
      }
      if (type.size === 1) return { type: 'char', signed: type.signed };
      if (type.size === 2 || type.size === 4 || type.size === 8) return { type: 'int', signed: type.signed };
      break;
    case BTF_KIND.ENUM:
    case BTF_KIND.ENUM64:
      if (type.size === 4 && type.name === 'libbpf_tristate') return { type: 'tristate', signed: false };
      break;
    case BTF_KIND.ARRAY: {
      const element = btf.resolve(type.type);
      const char = element === 0 ? undefined : btf.type(element);
      if (type.length > 0 && char?.kind === BTF_KIND.INT && char.size === 1 && !char.bool) {
        return { type: 'string', signed: false };
      }
      break;
    }
    default:
      break;
  }
  throw new InputError(`extern (kcfg) '${extern.name}': type is unsupported`);
}
