onmessage = ({ data: { id, input } }) => postMessage({ id, value: input });
