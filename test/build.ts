/** Builds the program once before the end-to-end tests: they run what users run. */
export default async function build(): Promise<void> {
  await import('../scripts/build.ts')
}
