export const STARTERS: readonly string[];
export const BUNDLED_HINT: string;
