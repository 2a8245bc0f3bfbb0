import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const SOURCE = fileURLToPath(new URL('../oracle/bpf_run.c', import.meta.url));
const NO_BPF = 77;

/** A program and its memory, as the kernel gets them and gives them back. */
export interface Job {
  insns: Uint8Array;
  packet: Uint8Array;
  value: Uint8Array;
}

export type Answer = { r0: number; packet: string; value: string } | { refused: string };

/** This machine's kernel as a BPF interpreter: test/oracle/bpf_run.c, built with gcc. */
export class Kernel {
  private constructor(
    private readonly directory: string,
    private readonly valueBytes: number,
  ) {}

  /** The reason if there is no gcc, or bpf(2) is refused. */
  static async create(valueBytes: number): Promise<Kernel | string> {
    const directory = mkdtempSync(join(tmpdir(), 'vmtable-kernel-'));
    const kernel = new Kernel(directory, valueBytes);
    try {
      await promisify(execFile)('gcc', ['-O2', '-Wall', '-o', join(directory, 'bpf_run'), SOURCE]);
      await kernel.run([]);
      return kernel;
    } catch (error) {
      kernel.dispose();
      if (!(error instanceof Error)) throw error;
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT') return 'gcc is not installed';
      if (error instanceof Unavailable) return error.message;
      return `bpf_run.c does not compile here: ${error.message.split('\n').find((line) => line.includes('error:')) ?? error.message}`;
    }
  }

  dispose(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }

  async run(jobs: readonly Job[]): Promise<Answer[]> {
    const child = spawn(join(this.directory, 'bpf_run'), [String(this.valueBytes)], { stdio: 'pipe' });
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    child.stdout.on('data', (chunk) => out.push(chunk));
    child.stderr.on('data', (chunk) => err.push(chunk));
    child.stdin.on('error', () => {}); // a process that ended early says why in its status
    child.stdin.end(jobs.map(({ insns, packet, value }) => `${hex(insns)} ${hex(packet)} ${hex(value)}\n`).join(''));
    const status = await new Promise<number | null>((resolve, reject) =>
      child.on('error', reject).on('close', resolve),
    );
    if (status === NO_BPF) throw new Unavailable(Buffer.concat(err).toString().trim());
    if (status !== 0) throw new Error(`bpf_run ended with status ${status}: ${Buffer.concat(err)}`);
    const lines = Buffer.concat(out).toString().split('\n').slice(0, -1);
    if (lines.length !== jobs.length) throw new Error(`bpf_run answered ${lines.length} of ${jobs.length} programs`);
    return lines.map((line) => {
      if (line.startsWith('!')) return { refused: line.slice(2) };
      const [r0 = '', packet = '', value = ''] = line.split(' ');
      return { r0: Number.parseInt(r0, 16), packet, value };
    });
  }
}

class Unavailable extends Error {}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}
