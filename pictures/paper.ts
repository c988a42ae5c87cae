/**
 * What LoraRetriever (Zhao et al. 2024, arXiv 2402.09997v1) states, for comparison: Table 2, top-k accuracy of retrieval on
 * 48 tasks, in percent, the encoder Instructor-xl trained on the samples of none, 40 % and all of the tasks.
 */
export const paperRetrieval = [
  { name: 'paper, trained on no task', top: { 1: 60.8, 3: 79.29, 5: 85.57, 8: 91.58 } },
  { name: 'paper, trained on 40 % of the tasks', top: { 1: 63.16, 3: 89.09, 5: 95.45, 8: 98.97 } },
  { name: 'paper, trained on all tasks', top: { 1: 74.08, 3: 97.37, 5: 99.15, 8: 99.82 } },
] as const

/** Means over the 48 tasks of its Tables 4 and 5 (Llama-2-7b, k = 3), in percent of perfect selection. */
export const paperStrategies = [
  { strategy: 'selection', iid: 92.8, ood: 79.9 },
  { strategy: 'fusion', iid: 78.3, ood: 76.6 },
  { strategy: 'mixture', iid: 92.6, ood: 85 },
] as const
