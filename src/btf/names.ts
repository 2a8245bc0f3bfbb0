/** Finds types and enumerators of one blob by name; its base is somebody else's matter. */
export interface Names {
  /** Ids of the types with this name, ascending, as far as the caller wants them: the FUNCs or all but the FUNCs. */
  types(name: string, funcs: boolean): Iterable<number>;
  /** Word index of the first enumerator of this name in the type section, or -1. */
  enumerator(name: string): number;
  /** Names `name___flavour` of types, see essentialName; may hold strings that are no type's name. */
  flavours(name: string): readonly string[];
}

/** What names are found in: the records of one blob and its strings. */
export interface NamedRecords {
  words: Uint32Array;
  /** Word index of each record; the first is of type `firstId`. */
  index: Uint32Array;
  firstId: number;
}
