import { status } from '@grpc/grpc-js'
import { AppError, messageOf } from '../../lib/errors.ts'

/** An error as a caller of an RPC gets it. */
export class RpcError extends Error {
  readonly code: status

  constructor(code: status, message: string) {
    super(message)
    this.name = 'RpcError'
    this.code = code
  }
}

/** Anything thrown, for a caller: what is not meant for them stays inside. */
export function rpcErrorOf(error: unknown): RpcError {
  if (error instanceof RpcError) return error
  if (error instanceof AppError && error.code === 'InvalidArgument')
    return new RpcError(status.INVALID_ARGUMENT, error.message)
  if (error instanceof AppError && error.retriable) return new RpcError(status.RESOURCE_EXHAUSTED, error.message)
  return new RpcError(status.INTERNAL, messageOf(error))
}
