/** What a command may touch of the process; tests pass their own. */
export interface Io {
  readFile(path: string): Uint8Array;
  readStdin(): Uint8Array;
  writeFile(path: string, text: string): void;
  appendFile(path: string, text: string): void;
  /** Exports of a JavaScript or TypeScript module. */
  importModule(path: string): Promise<unknown>;
  /** Writes text to stdout as is. */
  out(text: string): void;
  err(text: string): void;
  /** Colours and progress are for terminals. */
  readonly colour: boolean;
  /** Columns to fit text into. */
  readonly width: number;
}
