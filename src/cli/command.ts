import type { Command } from 'commander';
import { InputError, located, within } from '../errors.js';
import type { Io } from './io.js';

/** Status of a command that names something which is not there, or not modelled. */
export const EXIT_UNSUPPORTED = 3;

/** Adds one command to the program. `exit` sets the status of a command that ran to its end but has a failure to tell. */
export type AddCommand = (program: Command, io: Io, exit: (status: number) => void) => void;

/** The bytes of FILE, `-` being standard input. */
export function readInput(io: Io, file: string): Uint8Array {
  return file === '-' ? io.readStdin() : io.readFile(file);
}

/** `inFile(file, body)`: errors of body name the file first. */
export function inFile<T>(file: string, body: () => T): T {
  return within(fileName(file), body);
}

export async function inFileAsync<T>(file: string, body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (error) {
    throw located(fileName(file), error);
  }
}

/** What a file is called in messages. */
export function fileName(file: string): string {
  return file === '-' ? 'standard input' : file;
}

/** File name without directories and without `.bpf.o` or `.o`: libbpf's object name. */
export function objectName(file: string): string {
  if (file === '-') return 'stdin';
  const base = file.slice(Math.max(file.lastIndexOf('/'), file.lastIndexOf('\\')) + 1);
  return base.replace(/\.o$/, '').replace(/\.bpf$/, '');
}

/** One JSON document; bigints become 0x strings, as they are addresses, keys and 64-bit results. */
export function json(value: unknown): string {
  const plain = (_: string, item: unknown) =>
    typeof item === 'bigint' ? `0x${BigInt.asUintN(64, item).toString(16)}` : item;
  return `${JSON.stringify(value, plain, 2)}\n`;
}

/** An option's positive integer. */
export function positiveInteger(name: string, text: string): number {
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(Number(text)) || Number(text) < 1) {
    throw new InputError(`${name} wants a positive integer, not "${text}"`);
  }
  return Number(text);
}

/** An option's value that is one of several. */
export function oneOf<T extends string>(option: string, value: string, choices: readonly T[]): T {
  if ((choices as readonly string[]).includes(value)) return value as T;
  throw new InputError(`${option} wants ${orList(choices)}, not "${value}"`);
}

/** `a, b or c` */
export function orList(choices: readonly string[]): string {
  return `${choices.slice(0, -1).join(', ')} or ${choices.at(-1)}`;
}

export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Bytes of hex text; white space between bytes is allowed. */
export function unhex(text: string, what: string): Uint8Array {
  const digits = text.replace(/\s+/g, '');
  if (digits.length % 2 !== 0 || /[^0-9a-fA-F]/.test(digits)) throw new InputError(`${what} is not hex bytes`);
  return Uint8Array.from({ length: digits.length / 2 }, (_, i) => Number.parseInt(digits.slice(2 * i, 2 * i + 2), 16));
}
