// The core's exports.

// Memory and maps.
export { heapAlloc, heapAllocZeroed, heapCheck, heapFix, heapFree } from './alloc';
export {
  arenaAlloc,
  arenaCreate,
  arenaFree,
  arenaFreePages,
  arenaPage,
  arenaPageAt,
  arenaReserve,
  castKern,
  castUser,
} from './arena';
// Execution.
export {
  abandon,
  ctxFree,
  ctxGive,
  ctxInit,
  ctxNew,
  ctxStart,
  ctxTake,
  give,
  invoke,
  invokeCounted,
  invokeLeft,
  resume,
} from './ctx';
export {
  directIterNext,
  directMapLookup,
  directMapLookupPercpu,
  directMaskAnd,
  directMaskAny,
  directMaskAnyAnd,
  directMaskClear,
  directMaskClearAll,
  directMaskCopy,
  directMaskEmpty,
  directMaskEqual,
  directMaskFirst,
  directMaskFirstAnd,
  directMaskFirstZero,
  directMaskFull,
  directMaskIntersects,
  directMaskOr,
  directMaskSet,
  directMaskSubset,
  directMaskTest,
  directMaskTestAndClear,
  directMaskTestAndSet,
  directMaskWeight,
  directMaskXor,
  directPerCpuPtr,
  directRcuLock,
  directRcuUnlock,
  directTaskCpu,
  directThisCpuPtr,
  perCpuCopy,
  perCpuDefine,
  perCpuDrop,
} from './direct';
export { invokeIsolate, invokeObject } from './interp';
export { liveRegisters } from './jit/cfg';
export { jitCore, jitHashLookup, jitIterNext, setCode } from './jit/enter';
export { jitLook } from './jit/spans';
export { analyse, translate, translated } from './jit/translate';
export { known, knownDrop, knownSet } from './known';
export {
  callMapDelete,
  callMapGet,
  callMapLookup,
  callMapLookupPercpu,
  callMapPush,
  callMapUpdate,
  checkArg,
  checkHalves,
  mapIterCheck,
  mapIterNext,
} from './map/call';
export {
  mapCreate,
  mapDelete,
  mapFree,
  mapGet,
  mapGuard,
  mapLookup,
  mapNextKey,
  mapPush,
  mapRecord,
  mapSetFields,
  mapUpdate,
} from './map/map';
export { slotAt } from './map/record';
export { callStorageGet, storageFree, storageLookup, storageSet, storageTake } from './map/storage';
export { memoryInit } from './memory';
export { freeProg, insnOf, loadProg } from './prog';
export { accessAt, checkSlow, isAccess, setAccess } from './shadow';
export { insideObject, objectAt, windowAlloc, windowFlush, windowFree } from './window';
