import { BTF_KIND } from '../btf/types.js';
import { InputError, VmtableError, within } from '../errors.js';
import type { BpfObject, BpfProgram } from '../loader/index.js';
import { encodeBtf } from '../loader/index.js';
import { unhex } from './command.js';
import type { Io } from './io.js';

/**
 * Runs a `--init-prog NAME[=CONTEXT]`: a SEC("syscall") program that sets the object up. The context is hex bytes, `@file`, or
 * JSON for the struct that the program's argument points to. A negative result is a failure.
 */
export function runInitProg(io: Io, object: BpfObject, text: string): void {
  const equals = text.indexOf('=');
  const name = equals < 0 ? text : text.slice(0, equals);
  const program = object.program(name);
  within(`--init-prog ${name}`, () => {
    const ctx = equals < 0 ? undefined : context(io, object, program, text.slice(equals + 1));
    const result = program.testRun(ctx ? { ctx } : {}).retval | 0;
    if (result < 0) throw new VmtableError(`returned ${result}`);
  });
}

function context(io: Io, object: BpfObject, program: BpfProgram, text: string): Uint8Array {
  if (text.startsWith('@')) return io.readFile(text.slice(1));
  if (!text.startsWith('{')) return unhex(text.replace(/^0x/, ''), 'the context');
  const { btf } = object.spec;
  const struct = btf && argumentStruct(object, program);
  if (!btf || !struct)
    throw new InputError("the program's BTF names no struct as its argument: give the context as hex");
  const bytes = new Uint8Array(btf.sizeOf(struct));
  encodeBtf(btf, struct, text, bytes);
  return bytes;
}

/** Type id of the struct that the only argument points to; 0 if it points to something else. */
function argumentStruct({ spec: { btf } }: BpfObject, { spec }: BpfProgram): number {
  const func = btf && spec.btfId !== 0 ? btf.type(spec.btfId) : undefined;
  const proto = btf && func?.kind === BTF_KIND.FUNC ? btf.type(func.type) : undefined;
  const argument = proto?.kind === BTF_KIND.FUNC_PROTO ? proto.params[0]?.type : undefined;
  if (!btf || !argument) return 0;
  const pointer = btf.type(btf.resolve(argument));
  const target = pointer.kind === BTF_KIND.PTR && pointer.type !== 0 ? btf.resolve(pointer.type) : 0;
  return target !== 0 && btf.kindOf(target) === BTF_KIND.STRUCT ? target : 0;
}
