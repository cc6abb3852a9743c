/** For commander: a flag that may be given again adds to what was given before. */
export const append = (value: string, before: readonly string[] = []) => [...before, value]
