import { closing, defineCommand } from './define-command.ts'

export const crd = defineCommand({
  command: 'crd',
  describe: 'Print the CustomResourceDefinition of AnomalyPipeline',
  builder: (command) =>
    command.usage('Print the CustomResourceDefinition, for kubectl apply -f -').epilogue(closing('crd')),
  handler: async () => {
    const { crdYaml } = await import('../../lib/pipeline/crd.ts')
    process.stdout.write(crdYaml())
  },
})
