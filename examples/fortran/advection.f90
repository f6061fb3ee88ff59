! advection: a wave carried round a periodic domain, written to HDF5 through Augur and read back
!
! Upwind advection in one direction, diffusion in the other; every step is one frame of the dataset /wave, whose
! time axis is Fortran's last (HDF5's first) and unlimited, in chunks of 16 steps, written one step at a time.
!
! Build and run (Debian: apt install gfortran libhdf5-dev; the plugin is made by `make build` in the repository's root):
!
!     make -C examples/fortran
!     export HDF5_PLUGIN_PATH=$PWD/dist/plugins
!     examples/fortran/advection wave.h5 1e-3
!
! A third argument names a trained model by its SHA-256, which `augur models add` put into the user's store.
!
! Prints the bytes stored, the compression ratio, and the largest error of what it reads back over the bound.
program advection
   use, intrinsic :: iso_fortran_env, only: int64, real32, real64, error_unit
   use hdf5
   use augur_h5
   implicit none

   integer, parameter :: nx = 128, ny = 96, steps = 40, per_chunk = 16
   real(real64), parameter :: pi = 3.14159265358979324_real64
   real(real32), allocatable :: field(:, :), written(:, :, :), stored(:, :, :)
   character(len=512) :: path, argument, model
   real(real64) :: bound, worst
   integer(hid_t) :: file, data, dcpl, space, memory
   integer(hsize_t) :: extent(3), start(3), count(3), bytes
   type(augur_options) :: options
   integer :: error, i, j, step

   if (command_argument_count() < 2 .or. command_argument_count() > 3) then
      write (error_unit, '(a)') 'usage: advection FILE BOUND [MODEL]'
      stop 2
   end if
   call get_command_argument(1, path)
   call get_command_argument(2, argument)
   read (argument, *) bound
   call get_command_argument(3, model)

   allocate (field(nx, ny), written(nx, ny, steps), stored(nx, ny, steps))
   do j = 1, ny
      do i = 1, nx
         field(i, j) = real(sin(2*pi*i/nx)*cos(4*pi*j/ny) + exp(-((i - 40)**2 + (j - 50)**2)/80.0_real64), real32)
      end do
   end do

   call h5open_f(error)
   call check(error, 'starting HDF5')
   call h5fcreate_f(trim(path), H5F_ACC_TRUNC_F, file, error)
   call check(error, 'creating the file')
   call h5screate_simple_f(3, [int(nx, hsize_t), int(ny, hsize_t), 0_hsize_t], space, error, &
                           [int(nx, hsize_t), int(ny, hsize_t), H5S_UNLIMITED_F])
   call h5pcreate_f(H5P_DATASET_CREATE_F, dcpl, error)
   call h5pset_chunk_f(dcpl, 3, [int(nx, hsize_t), int(ny, hsize_t), int(per_chunk, hsize_t)], error)
   call check(error, 'h5pset_chunk_f')
   options = augur_absolute(bound)
   if (len_trim(model) > 0) call augur_set_model(options, trim(model))
   call h5pset_augur_f(dcpl, options, error)
   call check(error, 'h5pset_augur_f')
   call h5dcreate_f(file, 'wave', H5T_NATIVE_REAL, space, data, error, dcpl)
   call check(error, 'creating the dataset')
   call h5pclose_f(dcpl, error)
   call h5sclose_f(space, error)

   count = [int(nx, hsize_t), int(ny, hsize_t), 1_hsize_t]
   call h5screate_simple_f(3, count, memory, error)
   do step = 1, steps
      field = field - 0.4_real32*(field - cshift(field, -1, 1)) &
              + 0.1_real32*(cshift(field, 1, 2) + cshift(field, -1, 2) - 2*field)
      written(:, :, step) = field
      extent = [int(nx, hsize_t), int(ny, hsize_t), int(step, hsize_t)]
      start = [0_hsize_t, 0_hsize_t, int(step - 1, hsize_t)]
      call h5dset_extent_f(data, extent, error)
      call check(error, 'extending the dataset')
      call h5dget_space_f(data, space, error)
      call h5sselect_hyperslab_f(space, H5S_SELECT_SET_F, start, count, error)
      call h5dwrite_f(data, H5T_NATIVE_REAL, field, count, error, memory, space)
      call check(error, 'writing a step')
      call h5sclose_f(space, error)
      call h5fflush_f(file, H5F_SCOPE_GLOBAL_F, error)
      call check(error, 'flushing')
   end do
   call h5sclose_f(memory, error)
   call h5dclose_f(data, error)
   call h5fclose_f(file, error)
   call check(error, 'closing the file')

   call h5fopen_f(trim(path), H5F_ACC_RDONLY_F, file, error)
   call h5dopen_f(file, 'wave', data, error)
   call h5dget_storage_size_f(data, bytes, error)
   extent = [int(nx, hsize_t), int(ny, hsize_t), int(steps, hsize_t)]
   call h5dread_f(data, H5T_NATIVE_REAL, stored, extent, error)
   call check(error, 'reading back')
   call h5dclose_f(data, error)
   call h5fclose_f(file, error)
   call h5close_f(error)

   worst = maxval(abs(real(stored, real64) - real(written, real64)))/bound
   write (*, '(a,i0,a,f0.2,a,f0.4)') 'bytes ', bytes, ', ratio ', 4.0_real64*nx*ny*steps/real(bytes, real64), &
      ', largest error over bound ', worst
   if (.not. worst <= 1.0_real64) stop 1

contains

   subroutine check(status, what)
      integer, intent(in) :: status
      character(len=*), intent(in) :: what
      if (status < 0) then
         write (error_unit, '(3a)') 'advection: ', what, ' failed'
         stop 1
      end if
   end subroutine check
end program advection
