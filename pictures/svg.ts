import * as vega from 'vega'
import { compile, type TopLevelSpec } from 'vega-lite'

/**
 * Colours that differ between light and dark: specifications use the light one, and a style sheet inside the picture
 * replaces it where the reader's system is dark. GitHub's own, as in docs/window.svg.
 */
export const ink = '#1f2328'
export const soft = '#656d76'
export const line = '#d0d7de'

const dark: Readonly<Record<string, string>> = { [ink]: '#e6edf3', [soft]: '#9198a1', [line]: '#3d444d' }

/** Ten colours that stand out on white and on black. */
export const palette = [
  '#2f81f7',
  '#d2691e',
  '#2da44e',
  '#cf222e',
  '#8957e5',
  '#9a6700',
  '#bf4b8a',
  '#1b9e9e',
  '#768390',
  '#6e7b00',
] as const

const font = 'ui-sans-serif, system-ui, sans-serif'

const config = {
  background: 'transparent',
  font,
  view: { stroke: null },
  title: { color: ink, subtitleColor: soft, fontSize: 15, subtitleFontSize: 12, anchor: 'start', offset: 12 },
  axis: {
    labelColor: soft,
    titleColor: soft,
    gridColor: line,
    domainColor: line,
    labelLimit: 0,
    tickColor: line,
    labelFontSize: 12,
    titleFontSize: 12,
    titleFontWeight: 'normal',
  },
  header: { labelColor: ink, titleColor: soft, labelFontSize: 13, labelFontWeight: 'bold' },
  legend: {
    labelColor: ink,
    titleColor: soft,
    labelFontSize: 12,
    titleFontSize: 12,
    titleFontWeight: 'normal',
    symbolStrokeWidth: 2,
    labelLimit: 0,
  },
  text: { color: ink },
} as const

/**
 * Draws a specification. `title` and `description` are what a screen reader says; the picture has no background, and
 * its text and lines follow the reader's colour scheme.
 */
export async function drawSvg(spec: TopLevelSpec, title: string, description: string): Promise<string> {
  const compiled = compile({ padding: 8, ...spec }, { config }).spec
  const view = new vega.View(vega.parse(compiled), { renderer: 'none' })
  const svg = await view.toSVG().finally(() => view.finalize())
  const rules = Object.entries(dark)
    .map(([light, colour]) => `[fill="${light}"] { fill: ${colour} } [stroke="${light}"] { stroke: ${colour} }`)
    .join(' ')
  const style = `<style>@media (prefers-color-scheme: dark) { ${rules} }</style>`
  const head = `<title>${escaped(title)}</title><desc>${escaped(description)}</desc>${style}`
  // One image with a title: its parts would be read as a list of numbers.
  const whole = svg.replace(/ (?:role="graphics-[^"]*"|aria-[a-z]+="[^"]*")/g, '')
  return `${whole.replace(/<svg([^>]*)>/, (_, attributes: string) => `<svg${attributes} role="img">${head}`)}\n`
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
