/**
 * Every error that leaves this package is one of these. The message is a breadcrumb trail, outermost first:
 * `member "enqueue": prog "x": insn 12 (file.bpf.c:34): division of a pointer`; `cause` keeps what was wrapped.
 */
export class VmtableError extends Error {
  /** Exit status of the command line for this kind of error (1 failed, 2 bad input, 3 unsupported). */
  readonly exitCode: number = 1;
  /** Lines for whoever wants to know all at once: what else of the kind is to be told. */
  more?: readonly string[];
  override name = 'VmtableError';
}

/** The bytes or words given are malformed: an object, a topology, a command line. */
export class InputError extends VmtableError {
  override readonly exitCode = 2;
  override name = 'InputError';
}

/** The input is sound and asks for something that is not modelled; the message names it. */
export class UnsupportedError extends VmtableError {
  override readonly exitCode = 3;
  override name = 'UnsupportedError';
}

/** Puts a place in front of an error's message, keeping its class and the original as `cause`. */
export function within<T>(place: string, body: () => T): T {
  try {
    return body();
  } catch (error) {
    throw located(place, error);
  }
}

/** `error` with `place: ` in front of its message. Foreign errors (bugs, host limits) keep their class. */
export function located(place: string, error: unknown): unknown {
  if (!(error instanceof VmtableError)) return error;
  const outer = Object.create(Object.getPrototypeOf(error)) as VmtableError;
  Object.defineProperties(outer, Object.getOwnPropertyDescriptors(error));
  Object.defineProperty(outer, 'message', { value: `${place}: ${error.message}`, configurable: true, writable: true });
  Object.defineProperty(outer, 'cause', { value: error, configurable: true, writable: true });
  return outer;
}
