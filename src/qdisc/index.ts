export { Device, type FlowCounts, type PacketFlow } from './device.js';
export { addQdisc, QdiscHost } from './host.js';
export { Qdisc, type QdiscOptions } from './qdisc.js';
export { formatQdisc, type QdiscReportOptions } from './report.js';
export {
  packetFlows,
  type QdiscFlowResult,
  type QdiscRunOptions,
  type QdiscRunResult,
  type QueuePoint,
  runQdisc,
} from './run.js';
export type { Skb } from './skb.js';
