/** How this command line is called: in a checkout from source, installed by its name. */
export const commandName = import.meta.url.endsWith('.ts') ? 'npm -s start --' : 'lorastream'
