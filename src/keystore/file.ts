import { damaged, EntryDirectory } from './entry-file.ts'
import type { Keystore } from './keystore.ts'

/** Entries in files that only their owner can read: the least there is, where no keychain answers. */
export function fileKeystore(directory: string): Keystore {
  const entries = new EntryDirectory(directory)
  return {
    kind: 'file',
    get: async (name) => {
      const content = await entries.read(name)
      return content === undefined ? undefined : open(content, { name, file: entries.fileOf(name) })
    },
    set: (name, value) => entries.write(name, JSON.stringify({ name, value })),
    delete: (name) => entries.remove(name),
  }
}

function open(content: Buffer, entry: { name: string; file: string }): string {
  let parsed: { name?: unknown; value?: unknown } | null
  try {
    parsed = JSON.parse(content.toString('utf8'))
  } catch (cause) {
    throw damaged(entry.file, cause)
  }
  if (parsed?.name !== entry.name || typeof parsed.value !== 'string') throw damaged(entry.file)
  return parsed.value
}
