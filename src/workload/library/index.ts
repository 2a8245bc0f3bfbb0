export type { LibraryEntry, Parameter } from './entry.js';
export { describeLibrary, isLibraryName, LIBRARY, libraryWorkload } from './library.js';
