import type { Btf } from '../../src/btf/btf.js';
import { BtfBuilder } from '../../src/btf/builder.js';
import { CoReResolver, type CoReResult } from '../../src/btf/core.js';

/** A builder with the basic types under short names. */
export class Types extends BtfBuilder {
  readonly s32 = this.int('int', 4, { signed: true });
  readonly u32 = this.int('unsigned int', 4);
  readonly u64 = this.int('unsigned long', 8);
  readonly s64 = this.int('long', 8, { signed: true });
  readonly u8 = this.int('unsigned char', 1);
  readonly char = this.int('char', 1, { signed: true, char: true });
  readonly voidPtr = this.ptr(0);
}

/** Builds one side. `root` is the type that relocations start from. */
export function side(build: (types: Types) => number, base?: Btf): { btf: Btf; root: number } {
  const types = new Types(base);
  const root = build(types);
  return { btf: types.parse(), root };
}

/** Resolves one relocation of `local`'s root type against `kernel`. */
export function resolve(
  local: { btf: Btf; root: number },
  kernel: { btf: Btf },
  kind: number,
  accessor: string,
): CoReResult {
  return new CoReResolver(local.btf, kernel.btf).resolve({ type: local.root, accessor, kind });
}
