import { afterAll } from 'vitest'
import { removeFolders } from './folder.ts'

// Vitest evaluates this for each test file, but what the files of a process import only once.
afterAll(removeFolders)
