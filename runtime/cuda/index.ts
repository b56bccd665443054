/** CUDA through the driver API and NVRTC, called by way of koffi. */
export { CudaDevice, openCuda } from "./device.ts";
