import { AppError } from '../../lib/errors.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import { createSchemaRegistry, type SchemaRegistry } from '../wire/schema-registry.ts'
import { lineOfFile } from './text-file.ts'

/** Files with the entries of the Secret that the pipeline names. */
export interface SchemaRegistryArguments {
  readonly schemaRegistryUsernameFile?: string | undefined
  readonly schemaRegistryPasswordFile?: string | undefined
}

/**
 * The registry of the pipeline's schemas; undefined where it names none.
 * @throws AppError InvalidArgument where it names a Secret, and files are missing or of no use
 */
export function schemaRegistryOf({ spec }: Pipeline, args: SchemaRegistryArguments): SchemaRegistry | undefined {
  const { schemaRegistry, topic } = spec.source
  if (schemaRegistry === undefined) return undefined
  const { schemaRegistryUsernameFile: username, schemaRegistryPasswordFile: password } = args
  const login = username !== undefined && password !== undefined
  if (schemaRegistry.secretRef !== undefined && !login)
    throw new AppError(
      'InvalidArgument',
      'source.schemaRegistry.secretRef names a Secret: give its entries as --schema-registry-username-file and --schema-registry-password-file',
    )
  return createSchemaRegistry({
    url: schemaRegistry.url,
    subject: `${topic}-value`,
    clock: () => performance.now(),
    ...(login ? { username: lineOfFile(username), password: lineOfFile(password) } : undefined),
  })
}
