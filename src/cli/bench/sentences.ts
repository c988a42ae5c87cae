import { random } from './random.ts'

/** Sentences of twelve words, the same for the same seed. */
export function sentences(seed: number, count: number): readonly string[] {
  const next = random(seed)
  const word = (): string => WORDS[Math.floor(next() * WORDS.length)] ?? ''
  return Array.from({ length: count }, () => Array.from({ length: 12 }, word).join(' '))
}

const WORDS =
  `answer ask book bread bridge city cloud colour count dance doctor dream engine farm field fire forest garden
gold harbour history island journey kitchen language letter light market measure medicine memory moon morning mountain
music night number ocean paper picture planet poem price question rain reason recipe review river road school science
sentence shop sister song story street summer sword table teacher thunder ticket train tree village voice water weather
wheel window winter word world writer`.split(/\s/)
