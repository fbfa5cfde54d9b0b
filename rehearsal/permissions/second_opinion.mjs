// Decides calls with @cloud-copilot/iam-simulate: standard input holds the cases as JSON, standard output gets the
// verdicts in their order: "Allowed", "ImplicitlyDenied", "ExplicitlyDenied", or "error: ..." for what it will not judge as asked.
import { readFileSync } from 'node:fs'
import { runSimulation } from '@cloud-copilot/iam-simulate'

const cases = JSON.parse(readFileSync(0, 'utf8'))
const verdicts = []
for (const one of cases) {
  const everything = { Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action: '*', Resource: '*' }] }
  const found = await runSimulation(
    {
      request: {
        principal: one.principal,
        action: one.action,
        resource: { resource: one.resource, accountId: one.account },
        contextVariables: one.context
      },
      identityPolicies: Object.entries(one.identity).map(([name, policy]) => ({ name, policy })),
      serviceControlPolicies: [{ orgIdentifier: 'root', policies: [{ name: 'everything', policy: everything }] }],
      resourceControlPolicies: [],
      resourcePolicy: one.resourcePolicy ?? undefined,
      permissionBoundaryPolicies: one.boundary ? [{ name: 'boundary', policy: one.boundary }] : undefined
    },
    { simulationMode: 'Strict' }
  )
  const results = found.resultType === 'single' ? [found.result] : (found.results ?? [])
  const ignored = [...new Set(results.flatMap((result) => result.ignoredContextKeys ?? []))]
  if (found.resultType === 'error') verdicts.push(`error: ${JSON.stringify(found.errors)}`)
  else if (found.overallResult !== 'Allowed' && ignored.some((key) => key in one.given))
    verdicts.push(`error: it leaves out the context ${ignored.join(', ')}`)
  else verdicts.push(found.overallResult)
}
process.stdout.write(JSON.stringify(verdicts))
