// How an image gets in: chosen, dropped, pasted, or by its address.

import { byId } from "./dom.js";

const isImage = (file) => file.type.startsWith("image/") || /\.(jpe?g|png|webp|gif|bmp|tiff?)$/i.test(file.name);

/** Returns those of some files that are images; else the first, whose refusal says what it is. */
function images(files) {
  const found = [...files].filter(isImage);
  return found.length ? found : [...files].slice(0, 1);
}

const STORED = "application/x-simsearch-id";

/** Gives a result that is dragged its id: its address is the server's own, which the server does not fetch. */
export const carry = (event, hit) => event.dataTransfer.setData(STORED, hit.id);

/**
 * Listens for images.
 * @param onFiles called with an array of Files
 * @param onUrl called with an address
 * @param onStored called with the id of a stored image
 * @returns {{setUrlQueries: (allowed: boolean) => void}}
 */
export function listen({ onFiles, onUrl, onStored }) {
  const input = byId("file");
  const curtain = byId("curtain");
  let urlQueries = false;
  let depth = 0;

  const choose = () => input.click();
  byId("choose").addEventListener("click", choose);
  byId("replace").addEventListener("click", choose);
  input.addEventListener("change", () => {
    if (input.files.length) onFiles(images(input.files));
    input.value = "";
  });

  const carriesImage = ({ types }) =>
    types.includes("Files") || types.includes(STORED) || (urlQueries && types.includes("text/uri-list"));
  addEventListener("dragenter", (event) => {
    if (!carriesImage(event.dataTransfer)) return;
    depth += 1;
    curtain.hidden = false;
    event.preventDefault();
  });
  addEventListener("dragover", (event) => {
    if (carriesImage(event.dataTransfer)) event.preventDefault();
  });
  addEventListener("dragleave", () => {
    depth = Math.max(0, depth - 1);
    curtain.hidden = depth === 0;
  });
  addEventListener("drop", (event) => {
    depth = 0;
    curtain.hidden = true;
    if (!carriesImage(event.dataTransfer)) return;
    event.preventDefault();
    const { files } = event.dataTransfer;
    const id = event.dataTransfer.getData(STORED);
    // A picture that is moved a little within the large view asks nothing.
    if (id && event.target.closest("dialog")) return;
    if (id) return onStored(id);
    if (files.length) return onFiles(images(files));
    const [address] = event.dataTransfer.getData("text/uri-list").split(/\r?\n/);
    if (address) onUrl(address);
  });

  addEventListener("paste", (event) => {
    const { files } = event.clipboardData;
    const text = event.clipboardData.getData("text/plain").trim();
    const isField = event.target.matches("input");
    // Some programs copy a picture of the text besides; in a field the text is meant.
    if (files.length && !(isField && text)) {
      event.preventDefault();
      return onFiles(images(files));
    }
    if (urlQueries && !isField && /^https?:\/\/\S+$/.test(text)) {
      event.preventDefault();
      onUrl(text);
    }
  });

  byId("url-form").addEventListener("submit", (event) => {
    event.preventDefault();
    onUrl(byId("url").value.trim());
  });

  return {
    setUrlQueries(allowed) {
      urlQueries = allowed;
      byId("url-form").hidden = !allowed;
    },
  };
}
