import type { RecordedStep } from './replay/recording.js';

export function topics(): Promise<
  { topic: string; title: string; cases: { id: string; what: string; given: string[]; steps: RecordedStep[] }[] }[]
>;

export const OBJECTS: Record<string, RecordedStep>;
