import { readFileSync } from 'node:fs'
import { BinaryReader } from '@bufbuild/protobuf/wire'
import type { Server } from '@grpc/grpc-js'
import { ReflectionService } from '@grpc/reflection'

/** Lets grpcurl and the like list services and call them without the .proto files. */
export function addReflection(server: Server): void {
  const set = readFileSync(new URL('../gen/descriptors.binpb', import.meta.url))
  // What the reflection service reads of a package is only the descriptors of its files.
  const descriptors = { fileDescriptorProtos: filesOf(set) } as unknown as Packages[string]
  new ReflectionService({ anomaly: descriptors }).addToServer(server)
}

type Packages = ConstructorParameters<typeof ReflectionService>[0]

/** The files of a FileDescriptorSet, each still encoded. */
function filesOf(set: Uint8Array): Buffer[] {
  const files: Buffer[] = []
  const reader = new BinaryReader(set)
  while (reader.pos < reader.len) {
    reader.uint32()
    files.push(Buffer.from(reader.bytes()))
  }
  return files
}
