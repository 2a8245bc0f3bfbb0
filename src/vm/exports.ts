/** Exports of the core's execution half: assembly/{prog,ctx}.ts. Addresses come back signed. */
export interface ExecExports {
  ctxInit(): void;
  ctxNew(stack: number): number;
  ctxFree(ctx: number): void;
  ctxGive(ctx: number): void;
  ctxTake(): number;
  ctxStart(ctx: number, prog: number, code: bigint, cpu: number, flags: number): number;
  resume(ctx: number, fuel: number): number;
  invoke(prog: number, arg: number, cpu: number, fuel: number): number;
  invokeCounted: ExecExports['invoke'];
  invokeIsolate: ExecExports['invoke'];
  invokeObject: ExecExports['invoke'];
  invokeLeft(prog: number, cpu: number): number;
  give(ctx: number): void;
  abandon(outer: number): void;
  loadProg(
    insns: number,
    count: number,
    calls: number,
    flags: number,
    writeClasses: number,
    arena: number,
    exception: number,
    context: number,
  ): number;
  freeProg(prog: number): void;
  insnOf(prog: number, slot: number): number;
  /** assembly/jit: functions of a program that go to the table; its module, with these from `base` on; all this forgotten;
   *  the module in use. */
  analyse(prog: number): number;
  translate(base: number): number;
  translated(): void;
  setCode(prog: number, on: boolean): void;
  jitCore(fn: number): number;
  jitHashLookup(map: number, key: number): bigint;
  jitLook(span: number, fuel: number): void;
  jitIterNext(map: bigint, cursor: bigint, r10: number): bigint;
  liveRegisters(prog: number, slot: number): number;
  checkHalves(lo: number, hi: number, bytes: number, write: boolean): number;
  checkArg(address: bigint, bytes: number, write: boolean, object: boolean): number;
}
